"""Begins one request in each turn of the event loop, so that a hundred at once do not hold up a stream's tokens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope


@dataclass(frozen=True, slots=True)
class RequestsInTurn:
    """ASGI middleware. The first part of a request, up to where it waits, takes a millisecond of the event loop, and so
    does all of a small one. What else is to be done comes in between, in order of arrival.
    """

    app: ASGIFramework
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "lifespan":
            async with self._turn:
                await asyncio.sleep(0)
        await self.app(scope, receive, send)
