"""Ends HTTP/2 answers that their client does not read: its windows stay empty while the connection itself works."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

PART_BYTES = 2**16
"""Each part of this size has the whole time, so that a large answer may take longer than a small one."""


@dataclass(frozen=True, slots=True)
class ReadAnswers:
    """ASGI middleware. Its app gets a TimeoutError when a part of its answer is not read for `max_unread_seconds`.

    HTTP/1.1 has one answer at a time, so there the connection is closed instead (`WatchedConnection`).
    """

    app: ASGIFramework
    max_unread_seconds: float

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http" or scope["http_version"] < "2":
            await self.app(scope, receive, send)
            return

        async def send_in_time(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.body":
                rest = message["body"]
                while len(rest) > PART_BYTES:
                    part, rest = rest[:PART_BYTES], rest[PART_BYTES:]
                    async with asyncio.timeout(self.max_unread_seconds):
                        await send({**message, "body": part, "more_body": True})
                message = {**message, "body": rest}
            async with asyncio.timeout(self.max_unread_seconds):
                await send(message)

        await self.app(scope, receive, send_in_time)
