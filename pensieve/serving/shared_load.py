"""A load that several may wait for: one task, one outcome, and nobody's leaving cuts it off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedLoad(Generic[T]):
    """`deadline` is when it may no longer wait for room. Whoever finds `num_waiting` 0 works for nobody."""

    def __init__(self, source: str, deadline: float) -> None:
        self.source = source
        self.deadline = deadline
        self.num_waiting = 0
        self.task: asyncio.Task[T]

    def begin(self, work: Coroutine[Any, Any, T]) -> None:
        self.task = asyncio.create_task(work, name=f"load {self.source}")
        self.task.add_done_callback(_look_at)

    async def outcome(self, pin: Callable[[T], None], unpin: Callable[[T], None]) -> T:
        """What came of it, pinned for this one. The last to take it lets go of the load's own pin.

        Raises:
            PensieveError: what the load failed with, to each who waited.
        """
        self.num_waiting += 1
        try:
            loaded = await asyncio.shield(self.task)
            pin(loaded)
            return loaded
        finally:
            self.num_waiting -= 1
            if not self.num_waiting and self.task.done() and not self.task.cancelled() and not self.task.exception():
                unpin(self.task.result())


def _look_at(task: asyncio.Task[Any]) -> None:
    """Nobody may be left to hear of a failure, and asyncio wants it heard."""
    if not task.cancelled():
        task.exception()
