"""Server-sent events (W10): their encoding, and a response body that always closes its source."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from types import TracebackType

from quart import Response
from quart.wrappers.response import ResponseBody

from contracts.values.vocabulary import MessageEvent

KEEP_ALIVE = b": keepalive\n\n"
"""A comment, which keeps the connection open without being an event."""
DONE = b"data: [DONE]\n\n"

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""One encoder for all events: `json.dumps` would create one for each, which takes as long as the encoding."""

_LINE_ENDS = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "\x85\u2028\u2029"})
"""Escapes characters that some clients split lines at, as `str.splitlines` does, though the protocol does not."""


def encode_event(event: MessageEvent) -> bytes:
    """Anthropic's format: an `event:` line, and the type in the data as well."""
    return f"event: {event['type']}\n".encode() + encode_data(event)


def encode_data(data: Mapping[str, object]) -> bytes:
    return f"data: {_encode(data).translate(_LINE_ENDS)}\n\n".encode()


async def encode_events(events: AsyncGenerator[MessageEvent, None], request_id: str) -> AsyncGenerator[bytes, None]:
    """The bytes of a Messages stream. Error events carry the request id, like error replies."""
    async with aclosing(events):
        async for event in events:
            yield encode_event({**event, "request_id": request_id} if event["type"] == "error" else event)


async def stream_response(pieces: AsyncGenerator[bytes, None]) -> Response:
    """A response that streams `pieces`. It awaits the first, so that an error before it gets an error status.

    Raises:
        PensieveError: from the source, before its first piece.
    """
    response = Response(_StreamBody(await anext(pieces), pieces), content_type="text/event-stream; charset=utf-8")
    response.timeout = None  # or Quart would end the stream after a minute
    response.headers["cache-control"] = "no-cache"
    return response


class _StreamBody(ResponseBody):
    """The body of a stream whose first piece has been read.

    The source is closed when the response ends for any reason, even if the client disconnects before the first byte is
    written. An async generator could not do that, because one that was never iterated does not close what it wraps.
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
