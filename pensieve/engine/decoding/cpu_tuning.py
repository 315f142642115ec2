"""Chooses how a decode step runs on a CPU: with how many threads, and whether a single row is fed once or twice.

A step with few rows is bound by memory bandwidth, which one core may saturate alone. The other cores then stay free for
the server and the rest of the machine, and are not woken for each small product. How many rows count as few depends on
the machine.

Some BLAS libraries multiply a matrix by a single row slowly: MKL 2026 read 12 GB/s for one row of 576 numbers and
17 GB/s for two (docs/performance.md). Such a row is fed twice, and the second result is ignored.

So each step is timed in every form, and the quickest form wins.
"""

from __future__ import annotations

import time
from typing import NamedTuple

from pensieve.core.scheduling.autotune import Autotuner
from pensieve.device.blas import preload, set_threads
from pensieve.device.device import device_info


class StepForm(NamedTuple):
    """`threads` multiply the matrices; each row is fed `copies` times."""

    threads: int
    copies: int


class CpuTuning:
    """Call `before` and `after` around every step, on the thread that runs the steps.

    `may_copy`: rows can be fed twice, because their caches can ignore the second copy.
    """

    def __init__(self, *, may_copy: bool) -> None:
        self._all_threads = preload().threads or 1
        self._may_copy = may_copy and device_info().backend == "cpu"
        self._autotuners: dict[int, Autotuner[StepForm]] = {}
        self._step = self._last_plain = (0, StepForm(self._all_threads, 1))
        self._last_ended = 0.0

    def before(self, num_rows: int) -> int:
        """The number of times to feed each row in the coming step.

        `num_rows` is the number of rows if each decodes exactly one token; 0 if the step also prefills prompts or may
        decode more.
        """
        form = self._autotuner(num_rows).choose() if num_rows else StepForm(self._all_threads, 1)
        if self._all_threads > 1:
            set_threads(form.threads)  # every time: the count is per process, and another model may have changed it
        self._step = (num_rows, form)
        return form.copies

    def after(self, num_tokens: int) -> None:
        """The step decoded `num_tokens`.

        A step computes what the one before it started, so a step is timed only if it follows one of the same form.
        """
        num_rows, form = self._step
        ended = time.perf_counter()
        is_plain = num_tokens == num_rows > 0
        if is_plain and self._step == self._last_plain:
            self._autotuner(num_rows).note(form, ended - self._last_ended)
        self._last_plain = self._step if is_plain else (0, form)
        self._last_ended = ended

    def _autotuner(self, num_rows: int) -> Autotuner[StepForm]:
        if num_rows not in self._autotuners:
            copies = (1, 2) if num_rows == 1 and self._may_copy else (1,)
            threads = (1, self._all_threads) if self._all_threads > 1 else (1,)
            self._autotuners[num_rows] = Autotuner([StepForm(each, times) for each in threads for times in copies])
        return self._autotuners[num_rows]
