"""Reads and decodes request bodies without delaying the streams of other requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from quart import current_app, g, request

from contracts.values.vocabulary import ClientIdentity
from pensieve.api.http.connections.incoming_bodies import INCOMING_BODIES, IncomingBodies
from pensieve.api.http.connections.request_memory import REQUEST_MEMORY, RequestMemory
from pensieve.api.http.content_encoding import decompressed, is_compressed
from pensieve.api.http.schemas.json_schemas import MAX_QUICK_PARTS
from pensieve.api.pdfs.reading import PdfReading

T = TypeVar("T")

PDFS = "pensieve-pdfs"
"""The application's extension that reads PDFs."""
MAX_INLINE_BYTES = 4_000
"""Of a body with at most `MAX_QUICK_PARTS` objects and booleans. It takes a few hundred microseconds to decode, or some
milliseconds if they are schemas. Larger ones are decoded on another thread.
"""
MAX_DECODING = 64
"""Bodies on such threads at once: more than the default of asyncio, where six slow ones would delay the seventh."""

_GZIP_RATIO = 10
"""Conversations are a third to a tenth of their size when they are compressed."""

_threads = ThreadPoolExecutor(MAX_DECODING, "pensieve-decode")


async def decode_body(decode: Callable[[bytes], T]) -> T:
    """The decoded body of the current request. The limit on a body's size applies before and after decompression.

    Raises:
        HTTPException, OverloadedError: as `IncomingBodies.receive`, or it is compressed by another method than gzip.
        ValidationError: as `decode`, or it is not what its content-encoding says.
    """
    is_gzip = is_compressed(request.headers.get("content-encoding", ""))
    max_bytes: int = current_app.config["MAX_CONTENT_LENGTH"]
    bodies: IncomingBodies = current_app.extensions[INCOMING_BODIES]
    body = await bodies.receive(request.body, max_bytes)
    memory: RequestMemory = current_app.extensions[REQUEST_MEMORY]
    memory.hold(min(max_bytes, _GZIP_RATIO * len(body)) if is_gzip else len(body))

    def decode_plain() -> T:
        return decode(decompressed(body, max_bytes) if is_gzip else body)

    async def run(function: Callable[[], T]) -> T:
        if not is_gzip and is_quick(body):
            return function()
        return await in_thread(function)

    pdfs: PdfReading = current_app.extensions[PDFS]
    client: ClientIdentity = g.get("client", ClientIdentity())
    return await pdfs.decoded(run, decode_plain, client.namespace)


def is_quick(body: bytes) -> bool:
    """Whether it may be decoded on the event loop."""
    return len(body) <= MAX_INLINE_BYTES and sum(map(body.count, (b"{", b"true", b"false"))) <= MAX_QUICK_PARTS


async def in_thread(function: Callable[[], T]) -> T:
    """Run what may take long, such as going through all of a request, away from the event loop."""
    return await asyncio.get_running_loop().run_in_executor(_threads, copy_context().run, function)


def is_retry() -> bool:
    """Whether the current request is a retry, by the header in which the SDKs count their attempts."""
    return request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
