"""Whole bodies as clients send them: the recorded requests of the conformance suite, and Claude Code's form."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_name("recorded.jsonl")


@cache
def recorded() -> list[tuple[str, Any]]:
    """Pairs of path and body, each once."""
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    return [(record["path"], record["body"]) for record in map(json.loads, lines)]
