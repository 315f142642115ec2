"""Reads and decodes request bodies without delaying the streams of other requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from quart import request

T = TypeVar("T")

MAX_INLINE_BYTES = 20_000
"""Takes a few hundred microseconds to decode. Longer bodies, such as PDFs, are decoded on another thread."""


async def decode_body(decode: Callable[[bytes], T]) -> T:
    """The decoded body of the current request."""
    body = bytes(await request.body)
    return await asyncio.to_thread(decode, body) if len(body) > MAX_INLINE_BYTES else decode(body)


def is_retry() -> bool:
    """Whether the current request is a retry, by the header in which the SDKs count their attempts."""
    return request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
