"""Facts that take seconds to find out, kept in a file of JSON: sums of files, measurements of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_MAX_FACTS: Final = 1000


def remembered(file: Path) -> dict[str, Any]:
    """What the file says; nothing, where it cannot be read."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def remember(file: Path, facts: Mapping[str, Any]) -> None:
    """Add facts to the file, the oldest going when there are too many.

    By renaming, so that whoever reads sees all or nothing. That it cannot be written costs time alone.
    """
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        known = {key: fact for key, fact in remembered(file).items() if key not in facts} | dict(facts)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as written:
            json.dump(dict(list(known.items())[-_MAX_FACTS:]), written)
        Path(name).replace(file)
