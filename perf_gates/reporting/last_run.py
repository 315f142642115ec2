"""Runs of the gates on this machine, kept as JSON, so that a run can be compared with the one before (G-4.2)."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(".benchmarks", "perfgates")
"""Ignored by git: figures belong to a machine."""


def keep_run(folder: Path, report: Mapping[str, object], markdown: str, *, device: str, shape: str) -> Path:
    """Write a run beside those before it, as JSON and as Markdown; the JSON's path."""
    folder.mkdir(parents=True, exist_ok=True)
    taken_at = datetime.now(UTC)
    run = {"taken_at": taken_at.isoformat(), "machine": platform.node(), "device": device, "shape": shape, **report}
    path = folder / f"{taken_at:%Y%m%dT%H%M%S.%f}.json"
    path.write_text(json.dumps(run, indent=1), encoding="utf-8")
    path.with_suffix(".md").write_text(markdown + "\n", encoding="utf-8")
    return path


def last_figures(folder: Path, *, profile: str, device: str, shape: str) -> dict[str, float]:
    """By gate, the newest figure of a run on this machine with this profile and shape.

    A run of some tests alone leaves the figures of the others as they were. What cannot be read is passed over.
    """
    wanted = {"machine": platform.node(), "profile": profile, "device": device, "shape": shape}
    figures: dict[str, float] = {}
    for path in sorted(folder.glob("*.json")):
        run = _read(path)
        if all(run.get(key) == value for key, value in wanted.items()):
            figures |= {row["id"]: float(row["measured"]) for row in run.get("gates", [])}
    return figures


def _read(path: Path) -> dict[str, Any]:
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}
