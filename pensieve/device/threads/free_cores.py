"""Counts the cores that other work leaves free, so that no more threads multiply matrices than have a core each.

Such threads wait for each other after every product. One that has to share its core makes all of them wait until it is
scheduled: beside busy processes on two cores, a pass of 64 tokens took 13 times as long with two threads as with one.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

import psutil

INTERVAL_SECONDS: Final = 0.5
"""Between two looks, which take half a millisecond."""
_MAX_REST_SECONDS: Final = 2 * INTERVAL_SECONDS
_NEWEST_WEIGHT: Final = 0.6


class CpuUsage(NamedTuple):
    """Seconds since some start: of the clock, and of all cores together."""

    clock: float
    busy: float
    """What all processes used. Those of lower priority than this one do not count: they make way."""
    own: float
    """What this process used."""
    python: float
    """What those threads of this process used that run Python, without the one that asks."""


def usage_now() -> CpuUsage:
    return CpuUsage(time.monotonic(), _busy_seconds(), time.process_time(), _python_seconds())


class FreeCores:
    """For one thread, which asks again and again."""

    def __init__(self, num_cores: int, usage: Callable[[], CpuUsage] = usage_now) -> None:
        self._num_cores = num_cores
        self._usage = usage
        self._last: CpuUsage | None = None
        self._look_at = math.inf
        self._taken: float | None = None
        self._look()

    def number(self, now: float, rested: float = 0.0) -> int:
        """At `now`, by the monotonic clock: at least 1, since this thread goes on in any case. All cores if unknown.

        `rested`: the seconds for which the thread computed nothing. After a long rest, what ran before may have ended.
        """
        if rested > _MAX_REST_SECONDS:
            self._last = self._taken = None
            self._look()
        elif now >= self._look_at:
            self._look()
        return max(1, min(self._num_cores, int(self._num_cores - (self._taken or 0.0) + 0.5)))

    def _look(self) -> None:
        self._look_at = math.inf
        with contextlib.suppress(OSError, psutil.Error):  # a sandbox may hide these figures
            used = self._usage()
            if self._last is not None:
                self._note(self._last, used)
            self._last, self._look_at = used, used.clock + INTERVAL_SECONDS

    def _note(self, before: CpuUsage, used: CpuUsage) -> None:
        by_others = max(0.0, used.busy - before.busy - (used.own - before.own))
        by_python = max(0.0, used.python - before.python)
        taken = (by_others + by_python) / max(1e-9, used.clock - before.clock)
        self._taken = taken if self._taken is None else self._taken + _NEWEST_WEIGHT * (taken - self._taken)


def _busy_seconds() -> float:
    cores = os.sched_getaffinity(0)
    times = [each for core, each in enumerate(psutil.cpu_times(percpu=True)) if core in cores]
    has_low_priority = os.getpriority(os.PRIO_PROCESS, 0) > 0
    return sum(
        each.user + each.system + each.irq + each.softirq + each.steal + (each.nice if has_low_priority else 0.0)
        for each in times
    )


def _python_seconds() -> float:
    python = {thread.native_id for thread in threading.enumerate()} - {threading.get_native_id()}
    return sum(each.user_time + each.system_time for each in psutil.Process().threads() if each.id in python)
