"""Reads the rest of a request's body before its answer is sent, so that a refusal reaches the client.

A server that answers and closes while the client is still sending resets the connection: the client sees a broken pipe
instead of the refusal, and retries it. So the rest is read and thrown away first, within limits of bytes and time.
Beyond them, HTTP/1.1 closes the connection after the answer, and says so.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, cast

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

from pensieve.api.http.connections.limits import MAX_REFUSED_PAUSE_SECONDS

MAX_BYTES = 64 * 1000 * 1000
"""Twice the largest body that is accepted: a client that exceeds that limit by less still reads why."""
MAX_SECONDS = 30.0
_CLOSE = (b"connection", b"close")


@dataclass(frozen=True, slots=True)
class DrainedBodies:
    """ASGI middleware. It reads at most `max_bytes` of a refused body, for at most `max_seconds`, and until
    the client pauses for `max_pause_seconds`.
    """

    app: ASGIFramework
    max_bytes: int = MAX_BYTES
    max_seconds: float = MAX_SECONDS
    max_pause_seconds: float = MAX_REFUSED_PAUSE_SECONDS

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body = _IncomingBody(receive, self.max_bytes)

        async def send_after_the_body(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.start":
                is_whole = await body.drained(self.max_seconds, self.max_pause_seconds)
                if not is_whole and scope["http_version"] < "2":  # HTTP/2 forbids the header, and needs no closing
                    message["headers"] = [*message["headers"], _CLOSE]
            await send(message)

        await self.app(scope, body.receive, send_after_the_body)


class _IncomingBody:
    """Counts the body as the app receives it, which goes on while a handler runs."""

    def __init__(self, receive: ASGIReceiveCallable, max_bytes: int) -> None:
        self._receive = receive
        self._bytes_left = max_bytes
        self._paused_at = asyncio.get_running_loop().time()
        self._is_discarded = False
        self._is_over = asyncio.Event()
        self._is_whole = False

    async def receive(self) -> ASGIReceiveEvent:
        message = await self._receive()
        self._paused_at = asyncio.get_running_loop().time()
        if message["type"] == "http.request":
            self._bytes_left -= len(message["body"])
            self._is_whole = not message["more_body"]
            if self._is_whole or self._bytes_left < 0:
                self._is_over.set()
            if self._is_discarded:
                cast(MutableMapping[str, Any], message)["body"] = b""
        return message

    async def drained(self, max_seconds: float, max_pause_seconds: float) -> bool:
        """Wait until the body has ended, and return whether it did within the limits."""
        self._is_discarded = True
        clock = asyncio.get_running_loop().time
        ends_at = clock() + max_seconds
        while not self._is_over.is_set() and (left := min(ends_at, self._paused_at + max_pause_seconds) - clock()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), left)
        return self._is_whole
