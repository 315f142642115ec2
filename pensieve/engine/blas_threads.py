"""How many threads multiply the matrices of a decode step, on a CPU.

A step of few rows waits for memory, which one core may read as fast as all of them. The others are then free for the
server and for what else the machine does, and are not woken for each small product. How many rows are few is the
machine's affair, so steps are timed with one thread and with all, and the quicker is kept. Prompts are read with all.
"""

from __future__ import annotations

import time

from pensieve.core.quickest import Quickest
from pensieve.metal.blas import preload, set_threads


class BlasThreads:
    """To be told of each step, `before` and `after` it, on the thread that makes them."""

    def __init__(self) -> None:
        self._all = preload().threads or 1
        self._quickest: dict[int, Quickest] = {}
        self._step = self._last_plain = (0, self._all)
        self._last_ended = 0.0

    def before(self, num_rows: int) -> None:
        """A step that decodes a token of each of `num_rows`; 0 if it reads prompts as well, or may decode more."""
        if self._all == 1:
            return
        threads = self._of(num_rows).choose() if num_rows else self._all
        set_threads(threads)  # each time: the number is the process's, and another model may have set its own
        self._step = (num_rows, threads)

    def after(self, num_tokens: int) -> None:
        """It decoded so many. A step computes what the step before began: two of a kind have to follow each other."""
        num_rows, threads = self._step
        ended = time.perf_counter()
        is_plain = num_tokens == num_rows > 0
        if is_plain and self._step == self._last_plain:
            self._of(num_rows).note(threads, ended - self._last_ended)
        self._last_plain = self._step if is_plain else (0, 0)
        self._last_ended = ended

    def _of(self, num_rows: int) -> Quickest:
        return self._quickest.setdefault(num_rows, Quickest((1, self._all)))
