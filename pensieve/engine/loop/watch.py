"""Notices that an engine can no longer answer: its thread has ended, or hangs while requests wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection
from typing import Final

from contracts.values.faults import EngineFault
from pensieve.core.scheduling.stall import StallClock
from pensieve.device.threads.stacks import thread_stacks
from pensieve.engine.loop.generation_loop import failed_error
from pensieve.engine.loop.progress import LoopProgress
from pensieve.engine.requests.event_stream import EventStream

log = logging.getLogger(__name__)

_TICK_SECONDS: Final = 1.0


class EngineWatch:
    """Used on the event loop. `streams` are those of the open generations, now."""

    def __init__(
        self, progress: LoopProgress, streams: Callable[[], Collection[EventStream]], stall_seconds: float
    ) -> None:
        self.fault: EngineFault | None = None
        self._progress = progress
        self._streams = streams
        self._clock = StallClock(stall_seconds)
        self._tick_seconds = min(_TICK_SECONDS, stall_seconds / 10)
        self._ended = asyncio.Event()

    async def failed(self) -> EngineFault | None:
        """Return as soon as the engine cannot answer any more, or with None when it is closed."""
        await self._ended.wait()
        return self.fault

    def report(self, fault: EngineFault) -> None:
        """End every open stream with an error, at once: the thread that would do it may be gone."""
        if not self._ended.is_set():
            log.critical("the engine failed: %s", fault.reason)
            self.fault = fault
            for stream in self._streams():
                stream.put(failed_error())
            self.close()

    def close(self) -> None:
        self._ended.set()

    async def watch_progress(self) -> None:
        """Report a stall. Time is counted in ticks, so that a process that was stopped has not stalled."""
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), self._tick_seconds)
            num_open = sum(not stream.has_ended for stream in self._streams())
            if self._clock.tick(
                self._tick_seconds,
                has_work=num_open > 0,
                num_produced=self._progress.num_produced,
                slowest_step_seconds=self._progress.slowest_step_seconds,
            ):
                reason = f"{num_open} requests are open, and nothing was computed for {self._clock.seconds:.0f} s"
                self.report(EngineFault(reason, can_reload=False))
                log.critical("stacks of the stalled process:\n%s", thread_stacks())
