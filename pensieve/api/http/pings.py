"""Pings for streams: a marker whenever the source stays silent, so that clients keep the connection (W10)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def with_pings(items: AsyncGenerator[T, None], interval_seconds: float) -> AsyncGenerator[T | None, None]:
    """Yield the items, and None after each `interval_seconds` without one.

    The first item has no time limit: a source that fails instead still decides the status of the response.
    """

    async def next_item() -> T:
        return await anext(items)

    pending: asyncio.Task[T] | None = None
    timeout: float | None = None
    try:
        while True:
            pending = asyncio.create_task(next_item())
            while not (await asyncio.wait({pending}, timeout=timeout))[0]:
                yield None
            try:
                item = pending.result()
            except StopAsyncIteration:
                return
            timeout = interval_seconds
            yield item
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)  # retrieves an error, or asyncio would log it
