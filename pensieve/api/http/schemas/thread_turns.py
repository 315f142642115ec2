"""Lets long work in Python take turns, of several threads one at a time.

Each thread that runs Python makes every other one wait for the interpreter a millisecond longer, whenever that has
waited for anything: beside sixty of them, a stream would stand still.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, TypeVar

R = TypeVar("R")

TURN_SECONDS: Final = 0.01


class ThreadTurns:
    """First come, first served, turn by turn."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._is_taken = False
        self._waiting: deque[threading.Event] = deque()
        self._ends_at = 0.0

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    def run(self, work: Callable[[Callable[[], None]], R]) -> R:
        """`work(pause)`, on this thread. It calls `pause` often, which lets others have their turns."""
        self._take()
        try:
            return work(self._pause)
        finally:
            self._leave()

    def _pause(self) -> None:
        if self._clock() >= self._ends_at:
            self._leave()
            self._take()

    def _take(self) -> None:
        with self._lock:
            turn = None
            if self._is_taken:
                turn = threading.Event()
                self._waiting.append(turn)
            self._is_taken = True
        if turn is not None:
            turn.wait()
        self._ends_at = self._clock() + TURN_SECONDS

    def _leave(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._is_taken = False
