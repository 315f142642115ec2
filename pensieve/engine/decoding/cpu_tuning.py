"""Chooses how a decode step runs on a CPU: with how many threads, and whether a single row is fed once or twice.

A step with few rows is bound by memory bandwidth, which one core may saturate alone. The other cores then stay free for
the server and the rest of the machine, and are not woken for each small product. How many rows count as few depends on
the machine.

Some BLAS libraries multiply a matrix by a single row slowly: MKL 2026 read 12 GB/s for one row of 576 numbers and
17 GB/s for two (docs/performance.md). Such a row is fed twice, and the second result is ignored.

So each step is timed in every form, and the quickest form wins. No form has more threads than there are free cores, and
neither has prefill: `pensieve.device.threads.free_cores` says why.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from pensieve.core.scheduling.autotune import Autotuner
from pensieve.device.blas import preload, set_threads
from pensieve.device.device import device_info
from pensieve.device.threads.free_cores import FreeCores


class StepForm(NamedTuple):
    """`threads` multiply the matrices; each row is fed `copies` times."""

    threads: int
    copies: int


class CpuTuning:
    """Call `before` and `after` around every step, on the thread that runs the steps.

    `may_copy`: rows can be fed twice, because their caches can ignore the second copy. `num_free(now, rested)` is the
    number of free cores after `rested` seconds without a step.
    """

    def __init__(self, *, may_copy: bool, num_free: Callable[[float, float], int] | None = None) -> None:
        self._all_threads = preload().threads or 1
        self._may_copy = may_copy and device_info().backend == "cpu"
        self._num_free = num_free or FreeCores(self._all_threads).number if self._all_threads > 1 else lambda *_: 1
        self._max_threads = self._all_threads
        self._autotuners: dict[int, Autotuner[StepForm]] = {}
        self._step = self._last_plain = (0, StepForm(self._all_threads, 1))
        self._last_ended = 0.0
        self._rests_since = time.monotonic()

    def before(self, num_rows: int, *, is_plain: bool = True) -> int:
        """The number of times to feed each row when the coming step decodes.

        `num_rows` is the number of rows if each probably decodes one token, else 0. `is_plain`: they certainly do, and
        the step does nothing else, so that it may be timed.
        """
        now = time.monotonic()
        self._max_threads = min(self._all_threads, self._num_free(now, now - self._rests_since))
        form = self._form(num_rows, is_plain=is_plain)
        self._use(form.threads)
        self._step = (num_rows if is_plain else 0, form)
        return form.copies

    def before_prefill(self) -> None:
        """The rest of the step prefills."""
        self._use(self._max_threads)

    def _form(self, num_rows: int, *, is_plain: bool) -> StepForm:
        if not num_rows:
            return StepForm(self._max_threads, 1)
        autotuner = self._autotuner(num_rows)
        return (autotuner.choose if is_plain else autotuner.best)(self._has_cores)

    def _has_cores(self, form: StepForm) -> bool:
        return form.threads <= self._max_threads

    def _use(self, num_threads: int) -> None:
        if self._all_threads > 1:
            set_threads(num_threads)  # every time: the count is per process, and another model may have changed it

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
        self._last_ended, self._rests_since = ended, time.monotonic()

    def _autotuner(self, num_rows: int) -> Autotuner[StepForm]:
        if num_rows not in self._autotuners:
            copies = (1, 2) if num_rows == 1 and self._may_copy else (1,)
            threads = (1, self._all_threads) if self._all_threads > 1 else (1,)
            self._autotuners[num_rows] = Autotuner([StepForm(each, times) for each in threads for times in copies])
        return self._autotuners[num_rows]
