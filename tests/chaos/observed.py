"""What the bystander saw between two moments."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Observed:
    """Seconds. Gaps are between tokens of one stream; `errors` are streams that ended with one, or did not start."""

    seconds: float
    gaps: Sequence[float]
    health: Sequence[float]
    errors: int

    @property
    def max_gap_ratio(self) -> float:
        return max(self.gaps) / statistics.median(self.gaps)

    @property
    def max_gap(self) -> float:
        return max(self.gaps)

    @property
    def median_gap(self) -> float:
        return statistics.median(self.gaps)

    @property
    def max_health(self) -> float:
        return max(self.health)


def events_in(path: Path) -> list[tuple[str, float, float]]:
    """The complete lines of the file."""
    whole, _, _ = path.read_text(encoding="utf-8").rpartition("\n")
    rows = (line.split() for line in whole.splitlines())
    return [(kind, float(at), float(value)) for kind, at, value in rows]


def observed(path: Path, start: float, end: float) -> Observed:
    """A gap counts where it overlaps the time, so that a stream that stands still all the time is one long gap."""
    events = [event for event in events_in(path) if event[0] in ("token", "stream", "error")]
    gaps = [
        min(after[1], end) - before[1]
        for before, after in pairwise([*events, ("token", end, 0.0)])
        if before[0] == after[0] == "token" and before[1] < end and after[1] > start
    ]
    health = [value for kind, at, value in events_in(path) if kind == "health" and start < at]
    errors = [kind for kind, at, value in events_in(path) if start < at < end and _is_error(kind, value)]
    return Observed(end - start, gaps, health, len(errors))


def slowest_work(path: Path, start: float, end: float, num_pieces: int) -> float:
    """The longest time that the yardstick took for that many pieces of its work in a row."""
    ended = [at for kind, at, _ in events_in(path) if kind == "piece" and start - 1 < at < end + 1]
    return max((later - at for at, later in zip(ended, ended[num_pieces:], strict=False)), default=0.0)


def median_piece(path: Path, start: float, end: float) -> float:
    return statistics.median(value for kind, at, value in events_in(path) if kind == "piece" and start < at < end)


def num_tokens(path: Path) -> int:
    """Counted without reading the numbers: a wait for tokens counts often, and must take no core from the server."""
    return path.read_bytes().count(b"token ")


def _is_error(kind: str, value: float) -> bool:
    return kind in ("error", "unhealthy") or (kind == "stream" and value != 200)
