"""Pings for streams: a marker whenever the source stays silent, so that clients keep the connection (W10).

There is none before the first item, which says that the request is accepted: a ping would start the response, and a
refusal after it could have neither a status nor headers (W18).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def with_pings(items: AsyncGenerator[T, None], interval_seconds: float) -> AsyncGenerator[T | None, None]:
    """Yield the items, and after the first, None after each `interval_seconds` without one."""

    async def next_item() -> T:
        return await anext(items)

    pending: asyncio.Task[T] | None = None
    seconds = None
    try:
        while True:
            pending = asyncio.create_task(next_item())
            while not (await asyncio.wait({pending}, timeout=seconds))[0]:
                yield None
            try:
                item = pending.result()
            except StopAsyncIteration:
                return
            yield item
            seconds = interval_seconds
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)  # retrieves an error, or asyncio would log it
