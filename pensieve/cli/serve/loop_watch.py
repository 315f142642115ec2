"""Notices that the event loop does not answer, from a thread of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Final

from pensieve.device.threads.stacks import thread_stacks

log = logging.getLogger(__name__)

LAG_SECONDS: Final = 5.0
"""A lag of this length is logged, with the stacks of all threads."""
_TICK_SECONDS: Final = 1.0


class LoopWatch:
    """Calls `on_tick` regularly, whatever the event loop does, and `on_hang` once it has not answered for
    `hung_seconds`. Time is counted in ticks, so that a process that was stopped has not hung.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        hung_seconds: float,
        on_hang: Callable[[], None],
        on_tick: Callable[[], None] = lambda: None,
        tick_seconds: float = _TICK_SECONDS,
    ) -> None:
        self._loop = loop
        self._hung_ticks = hung_seconds / tick_seconds
        self._lag_ticks = LAG_SECONDS / _TICK_SECONDS
        self._tick_seconds = tick_seconds
        self._on_hang = on_hang
        self._on_tick = on_tick
        self._has_answered = threading.Event()
        self._closed = threading.Event()
        self._silent_ticks = 0

    def start(self) -> None:
        self._has_answered.set()
        threading.Thread(target=self._watch, name="pensieve-loop-watch", daemon=True).start()

    def close(self) -> None:
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(self._tick_seconds):
            self._on_tick()
            if self._has_answered.is_set():
                self._note_answer()
            else:
                self._note_silence()

    def _note_answer(self) -> None:
        if self._silent_ticks >= self._lag_ticks:
            log.warning("the event loop answers again, after about %d s", self._silent_ticks * self._tick_seconds)
        self._silent_ticks = 0
        self._has_answered.clear()
        try:
            self._loop.call_soon_threadsafe(self._has_answered.set)
        except RuntimeError:  # it is closed
            self.close()

    def _note_silence(self) -> None:
        self._silent_ticks += 1
        if self._silent_ticks == self._lag_ticks:
            log.error("the event loop does not answer; stacks of all threads:\n%s", thread_stacks())
        if self._silent_ticks >= self._hung_ticks:
            self._on_hang()
            self.close()
