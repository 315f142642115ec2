"""Reading a request's body without holding up the streams of others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from quart import request

T = TypeVar("T")

MAX_INLINE_BYTES = 20_000
"""A few hundred microseconds of JSON. Longer bodies, and PDFs above all, are decoded on another thread."""


async def decoded_body(decode: Callable[[bytes], T]) -> T:
    """The body of the request that is being handled, decoded."""
    body = bytes(await request.body)
    return await asyncio.to_thread(decode, body) if len(body) > MAX_INLINE_BYTES else decode(body)


def is_retry() -> bool:
    """Whether the client of this request says that it asks again: the SDKs count their tries in a header."""
    return request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
