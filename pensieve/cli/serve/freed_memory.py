"""Returns what was freed to the system while the server runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from pensieve.device import malloc

IDLE_SECONDS: Final = 10.0
"""After the last request. The next one needs some of the memory again, and those of an agent follow each other."""
INTERVAL_SECONDS: Final = 30.0
"""While requests keep coming."""


async def return_freed_memory(
    idle_seconds: Callable[[], float | None],
    *,
    after_seconds: float = IDLE_SECONDS,
    interval_seconds: float = INTERVAL_SECONDS,
) -> None:
    """Run until cancelled. It takes some milliseconds for each 50 MB that are returned, on a thread of the pool.

    `idle_seconds` returns the time since the last request ended, or None while one runs.
    """
    returned_at = time.monotonic()
    while malloc.can_return_freed_memory():
        await asyncio.sleep(min(after_seconds, interval_seconds) / 10)
        idle, now = idle_seconds() or 0.0, time.monotonic()
        is_used = now - idle > returned_at
        if is_used and (idle >= after_seconds or now - returned_at >= interval_seconds):
            await asyncio.to_thread(malloc.return_freed_memory)
            returned_at = time.monotonic()
