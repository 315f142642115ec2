"""Returns what was freed to the system while the server runs."""

from __future__ import annotations

import asyncio
from typing import Final

from pensieve.device import malloc

INTERVAL_SECONDS: Final = 30.0


async def return_freed_memory(interval_seconds: float = INTERVAL_SECONDS) -> None:
    """Run until cancelled. It takes some milliseconds for each 50 MB that are returned, on a thread of the pool."""
    while malloc.can_return_freed_memory():
        await asyncio.sleep(interval_seconds)
        await asyncio.to_thread(malloc.return_freed_memory)
