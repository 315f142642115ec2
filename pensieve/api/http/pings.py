"""Pings for streams: a marker whenever the source stays silent, so that clients keep the connection (W10).

There is none before the first item, which says that the request is accepted: a ping would start the response, and a
refusal after it could have neither a status nor headers (W18).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from typing import Generic, TypeVar

T = TypeVar("T")


async def with_pings(items: AsyncGenerator[T, None], interval_seconds: float) -> AsyncGenerator[T | None, None]:
    """Yield the items, and after the first, None after each `interval_seconds` without one.

    A task reads the items, as a generator that is cancelled while it waits for one would end. There is one task and one
    timer for the whole stream: one of each for every item took a fifth of the CPU time of streaming.
    """
    arrivals = _Arrivals[T](interval_seconds)
    reading = asyncio.create_task(arrivals.read(items))
    reading.add_done_callback(arrivals.wake)
    try:
        while arrivals.ready or not reading.done():
            if arrivals.ready:
                yield arrivals.ready.popleft()
            elif await arrivals.is_silent():
                yield None
        reading.result()
    finally:
        arrivals.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)  # retrieves an error, or asyncio would log it


class _Arrivals(Generic[T]):
    """Items that have been read, for one reader that waits for no longer than an interval after the first."""

    def __init__(self, interval_seconds: float) -> None:
        self.ready: deque[T] = deque()
        self._interval_seconds = interval_seconds
        self._loop = asyncio.get_running_loop()
        self._silence: asyncio.Future[bool] | None = None
        self._waits_since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def read(self, items: AsyncGenerator[T, None]) -> None:
        async for item in items:
            self.ready.append(item)
            self.wake()
            if self._timer is None:
                self._check_later(self._interval_seconds)

    async def is_silent(self) -> bool:
        """Wait for an item or the end; return whether the interval has passed instead."""
        self._waits_since = self._loop.time()
        self._silence = self._loop.create_future()
        return await self._silence

    def wake(self, _: object = None, *, is_silent: bool = False) -> None:
        if self._silence is not None and not self._silence.done():
            self._silence.set_result(is_silent)

    def _check_later(self, seconds: float) -> None:
        self._timer = self._loop.call_later(seconds, self._check)

    def _check(self) -> None:
        """Once an interval, see how long the reader has waited: to set the timer again for each item takes longer."""
        remaining = self._waits_since + self._interval_seconds - self._loop.time()
        if remaining <= 0:
            self.wake(is_silent=True)
        self._check_later(remaining if remaining > 0 else self._interval_seconds)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
