"""What became of each request, and the wrong answers word by word."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Final

import httpx

from tests.soak.questions import Answer
from tests.soak.server import Server

MAX_KEPT: Final = 40
OUTCOMES: Final = ("right", "wrong", "refused", "failed", "cut")
"""As the idle server answers, otherwise than it, a 529, another error, and what a kill ended."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A wrong answer: it is not what the idle server answered."""

    question: str
    kind: str
    at_seconds: float
    expected: Answer
    actual: Answer


@dataclass(slots=True)
class Record:
    """Counts by kind of request and outcome."""

    began: float = field(default_factory=time.monotonic)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    notes: dict[str, list[object]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def seconds(self) -> float:
        return time.monotonic() - self.began

    def count(self, kind: str, outcome: str) -> None:
        with self._lock:
            self.counts[kind, outcome] += 1

    def note(self, what: str, value: object) -> None:
        """Keep a figure that no count holds, such as how long a restart took."""
        with self._lock:
            self.notes.setdefault(what, []).append(value)

    def total(self, outcome: str) -> int:
        with self._lock:
            return sum(count for (_, each), count in self.counts.items() if each == outcome)

    def compare(self, kind: str, question: str, expected: Answer, actual: Answer, *, is_right: bool) -> None:
        self.count(kind, "right" if is_right else "wrong")
        if not is_right and len(self.differences) < MAX_KEPT:
            self.differences.append(Difference(question, kind, round(self.seconds(), 1), expected, actual))
            print(f"wrong: {self.differences[-1]}"[:2000], flush=True)

    @contextmanager
    def outcome_of(self, kind: str, server: Server) -> Iterator[None]:
        """Count the request in the block if it fails. What fails while its server is killed counts as cut."""
        kills = server.num_kills
        try:
            yield
        except Exception as error:  # a reply that cannot be read is a failure like any other
            status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else 0
            if server.num_kills != kills or not server.is_up:
                self.count(kind, "cut")
            elif status == 529:
                self.count(kind, "refused")
            else:
                self.count(kind, "failed")
                self._keep(kind, error)

    def _keep(self, kind: str, error: Exception) -> None:
        if len(self.failures) < MAX_KEPT:
            text = error.response.text if isinstance(error, httpx.HTTPStatusError) else ""
            self.failures.append(f"{self.seconds():.1f} s, {kind}: {type(error).__name__}: {error} {text}"[:600])
            print(f"failed: {self.failures[-1]}", flush=True)

    def as_json(self) -> dict[str, object]:
        return {
            "counts": {f"{kind}: {outcome}": count for (kind, outcome), count in sorted(self.counts.items())},
            "differences": [asdict(each) for each in self.differences],
            "failures": self.failures,
            "notes": self.notes,
        }
