"""When a server that crashed is started again, and when not any more."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

EXIT_SOFTWARE: Final = 70
"""sysexits.h's EX_SOFTWARE: the server cannot go on, and a new process may."""
PAUSES_SECONDS: Final = (0.0, 1.0, 5.0, 15.0)
"""Before each restart. The next crash is the last."""
CALM_SECONDS: Final = 600.0
"""A server that ran for this long has not crashed at its start."""
_ON_PURPOSE: Final = frozenset({0, 2, 130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP})
"""Statuses of a server that a user or a service manager ended, or that was used wrongly."""


def is_crash(status: int, *, was_ready: bool) -> bool:
    """`status` is negative after a signal, as in `subprocess`. `was_ready`: a server with this command has been ready
    before, so a failure is not that of its settings.
    """
    if status in _ON_PURPOSE:
        return False
    return was_ready or status < 0 or status == EXIT_SOFTWARE


def describe(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


class Crashes:
    """Counts the crashes in a row: those since an answer was completed, or since a server ran for a while."""

    def __init__(
        self, pauses_seconds: Sequence[float] = PAUSES_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pauses_seconds = pauses_seconds
        self._clock = clock
        self._num_in_a_row = 0
        self._started_at = clock()

    def note_start(self) -> None:
        self._started_at = self._clock()

    def note_answer(self) -> None:
        self._num_in_a_row = 0

    def pause_seconds(self) -> float | None:
        """Note a crash. Returns how long to wait before the next start; None: give up."""
        if self._clock() - self._started_at >= CALM_SECONDS:
            self._num_in_a_row = 0
        self._num_in_a_row += 1
        pauses = self._pauses_seconds
        return pauses[self._num_in_a_row - 1] if self._num_in_a_row <= len(pauses) else None
