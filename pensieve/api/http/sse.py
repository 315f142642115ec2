"""Server-sent events (W10): how they are written, and a response body that always closes what it reads from."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from types import TracebackType

from quart import Response
from quart.wrappers.response import ResponseBody

from contracts.values.vocabulary import MessageEvent

KEEP_ALIVE = b": keepalive\n\n"
"""A comment: bytes that keep a connection awake, and no event."""
DONE = b"data: [DONE]\n\n"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""One encoder for all events: `json.dumps` would make another for each, which takes as long as encoding it."""

_LINE_ENDS = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"})
"""Line ends to some clients' readers, Python's `str.splitlines` among them, though not to the protocol."""


def encode_event(event: MessageEvent) -> bytes:
    """As Anthropic's API writes them: both an `event:` line and the type in the data."""
    return f"event: {event['type']}\n".encode() + encode_data(event)


def encode_data(data: Mapping[str, object]) -> bytes:
    return f"data: {_encode(data).translate(_LINE_ENDS)}\n\n".encode()


async def encoded_events(events: AsyncGenerator[MessageEvent, None], request_id: str) -> AsyncGenerator[bytes, None]:
    """The bytes of a Messages stream. An error event carries the request's id, as an error reply does."""
    async with aclosing(events):
        async for event in events:
            yield encode_event({**event, "request_id": request_id} if event["type"] == "error" else event)


async def stream_response(pieces: AsyncGenerator[bytes, None]) -> Response:
    """A response that streams `pieces`. The first is awaited, so that what is refused is refused with a status.

    Raises:
        PensieveError: the refusal.
    """
    response = Response(_StreamBody(await anext(pieces), pieces), content_type="text/event-stream; charset=utf-8")
    response.timeout = None  # Quart would cut a stream after a minute
    response.headers["cache-control"] = "no-cache"
    return response


class _StreamBody(ResponseBody):
    """The body of a stream whose first piece has already come.

    The rest is closed when the response ends, however it ends: a client that leaves before the first byte is written
    must free the machine too, and an async generator that was never entered would not close what it wraps.
    """

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self._first = first
        self._rest = rest

    async def __aenter__(self) -> _StreamBody:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self._rest.aclose()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield self._first
        async for piece in self._rest:
            yield piece
