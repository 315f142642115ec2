"""In which form a decode step is computed on a CPU: with how many threads, and a row by itself once or twice.

A step of few rows waits for memory, which one core may read as fast as all of them. The others are then free for the
server and for what else the machine does, and are not woken for each small product. How many rows are few is the
machine's affair.

A BLAS may be slow at the product of a matrix and a single row: MKL 2026 read 12 GB/s for one row of 576 numbers, and
17 for two (docs/performance.md). Such a row goes in twice then, and what comes out the second time is left alone.

So steps are timed in each form, and the quickest is kept.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from pensieve.core.scheduling.autotune import Autotuner
from pensieve.device.blas import preload, set_threads
from pensieve.device.device import device_info


class Form(NamedTuple):
    """`threads` multiply the matrices; each row goes in `copies` times."""

    threads: int
    copies: int


class CpuTuning:
    """To be told of each step, `before` and `after` it, on the thread that makes them.

    `may_copy` says that rows can go in twice: that the caches can leave tokens out.
    """

    def __init__(self, *, may_copy: bool) -> None:
        self._all = preload().threads or 1
        self._may_copy = may_copy and device_info().backend == "cpu"
        self._quickest: dict[int, Autotuner[Form]] = {}
        self._step = self._last_plain = (0, Form(self._all, 1))
        self._last_ended = 0.0

    def before(self, num_rows: int) -> int:
        """How many times the rows are to go into a step that decodes a token of each of `num_rows`; 0 rows if it reads
        prompts as well, or may decode more.
        """
        form = self._of(num_rows).choose() if num_rows else Form(self._all, 1)
        if self._all > 1:
            set_threads(form.threads)  # each time: the number is the process's, and another model may have set its own
        self._step = (num_rows, form)
        return form.copies

    def after(self, num_tokens: int) -> None:
        """It decoded so many. A step computes what the step before began: two of a kind have to follow each other."""
        num_rows, form = self._step
        ended = time.perf_counter()
        is_plain = num_tokens == num_rows > 0
        if is_plain and self._step == self._last_plain:
            self._of(num_rows).note(form, ended - self._last_ended)
        self._last_plain = self._step if is_plain else (0, form)
        self._last_ended = ended

    def _of(self, num_rows: int) -> Autotuner[Form]:
        if num_rows not in self._quickest:
            copies = (1, 2) if num_rows == 1 and self._may_copy else (1,)
            threads = (1, self._all) if self._all > 1 else (1,)
            self._quickest[num_rows] = Autotuner([Form(each, times) for each in threads for times in copies])
        return self._quickest[num_rows]
