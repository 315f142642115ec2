"""Saves each run of the gates as JSON, so that the next run can be compared with it (G-4.2)."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(".benchmarks", "perfgates")
"""Ignored by git, because figures are valid for one machine only."""


def save_run(folder: Path, report: Mapping[str, object], markdown: str, *, device: str, shape: str) -> Path:
    """Write a run as JSON and as Markdown, and return the path of the JSON file."""
    folder.mkdir(parents=True, exist_ok=True)
    taken_at = datetime.now(UTC)
    run = {"taken_at": taken_at.isoformat(), "machine": platform.node(), "device": device, "shape": shape, **report}
    path = folder / f"{taken_at:%Y%m%dT%H%M%S.%f}.json"
    path.write_text(json.dumps(run, indent=1), encoding="utf-8")
    path.with_suffix(".md").write_text(markdown + "\n", encoding="utf-8")
    return path


def last_figures(folder: Path, *, profile: str, device: str, shape: str) -> dict[str, float]:
    """The newest figure of each gate on this machine with this profile, device and shape.

    Gates that the last run did not measure keep the figure of an earlier run. Unreadable files are ignored.
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
