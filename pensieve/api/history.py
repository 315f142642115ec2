"""The server's last hour, for the status page: a few figures every ten seconds, in memory alone."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

log = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 10.0
MAX_SAMPLES: Final = 360


@dataclass(frozen=True, slots=True)
class Reading:
    """`generated_tokens` counts all since the start, those of open requests too."""

    reserved_bytes: int
    measured_bytes: int
    generated_tokens: int
    running: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Sample:
    """`number` counts all samples from 1 on, `time` is in seconds since the epoch, and tokens per second are those
    since the sample before.
    """

    number: int
    time: float
    reserved_bytes: int
    measured_bytes: int
    tokens_per_second: float
    running: int
    waiting: int


class History:
    """Keeps the last `MAX_SAMPLES`."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._samples = deque[Sample](maxlen=MAX_SAMPLES)
        self._numbers = itertools.count(1)
        self._generated_tokens = 0

    def add(self, reading: Reading) -> None:
        now = self._clock()
        number = next(self._numbers)
        self._samples.append(
            Sample(
                number,
                round(now, 3),
                reading.reserved_bytes,
                reading.measured_bytes,
                self._rate(reading.generated_tokens, now),
                reading.running,
                reading.waiting,
            )
        )

    def _rate(self, generated_tokens: int, now: float) -> float:
        """0 for the first sample, and after a clock that was set back."""
        before = self._samples[-1].time if self._samples else now
        grown = generated_tokens - self._generated_tokens
        self._generated_tokens = generated_tokens
        return round(max(0, grown) / (now - before), 2) if now > before else 0.0

    def samples_after(self, number: int) -> list[Sample]:
        """The kept samples that follow the sample with that number."""
        return [sample for sample in self._samples if sample.number > number]

    @property
    def last_number(self) -> int:
        return self._samples[-1].number if self._samples else 0

    async def keep(self, read: Callable[[], Reading]) -> None:
        """Add a sample every `INTERVAL_SECONDS` until it is cancelled. A reading that fails is logged and left out."""
        while True:
            try:
                self.add(read())
            except Exception:
                log.exception("the figures of the status page's history could not be read")
            await asyncio.sleep(INTERVAL_SECONDS)
