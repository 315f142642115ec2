"""A shared load: concurrent callers await one task, and a cancelled caller does not cancel it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class SharedLoad(Generic[T]):
    """`deadline` is when it gives up waiting for memory. At `num_waiting` 0, every caller has been cancelled."""

    def __init__(self, source: str, deadline: float) -> None:
        self.source = source
        self.deadline = deadline
        self.num_waiting = 0
        self.task: asyncio.Task[T]

    def begin(self, work: Coroutine[Any, Any, T]) -> None:
        self.task = asyncio.create_task(work, name=f"load {self.source}")
        self.task.add_done_callback(_retrieve_exception)

    async def outcome(self, pin: Callable[[T], None], unpin: Callable[[T], None]) -> T:
        """The loaded value, pinned for this caller. The last caller releases the pin that the load itself held.

        Raises:
            PensieveError: the load failed; every caller gets the same error.
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


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """If every caller was cancelled, asyncio would log that the exception was never retrieved."""
    if not task.cancelled():
        task.exception()
