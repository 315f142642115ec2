"""Bounds the memory of all requests together, besides their KV: bodies, and what becomes of them until they end.

A share of the ledger is set aside for it when the server starts (`device.memory.ledger.request_bytes`): half for bodies
that are being received, the rest for those that are whole. A reservation for each request would fail while the prompt
cache fills the ledger, though that gives way to everything else.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from pensieve.api.http.connections.limits import MAX_BODY_BYTES
from pensieve.core.errors import OverloadedError

REQUEST_MEMORY: Final = "pensieve.request_memory"
"""The extension of an app that holds its RequestMemory."""
COPIES: Final = 4
"""Of a body: as it came, decoded, rendered and as tokens. Bodies of 30 MB that are refused take 2 times their size."""
FREE_BYTES: Final = 2**18
"""Bodies up to this are counted and never refused: their number is limited."""


def incoming_bytes(set_aside: int, max_total: int) -> int:
    """How much of what is `set_aside` is for bodies that are still being received: half, and room for a whole one."""
    return min(max_total, max(MAX_BODY_BYTES, set_aside // 2))


_held: ContextVar[list[int]] = ContextVar("held_bytes")


class RequestMemory:
    """Used on the event loop."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.num_bytes = 0

    def hold(self, body_bytes: int) -> None:
        """Count a body until its request has ended. One that needs more than there is gets it while it is alone.

        Raises:
            OverloadedError: other requests leave no room for it.
        """
        num_bytes = min(COPIES * body_bytes, self._max_bytes)
        if body_bytes > FREE_BYTES and self.num_bytes + num_bytes > self._max_bytes:
            raise OverloadedError("other requests take all the memory that there is for bodies: try again later")
        self.num_bytes += num_bytes
        _held.get().append(num_bytes)


@dataclass(frozen=True, slots=True)
class HeldMemory:
    """ASGI middleware. It releases what a request holds when its answer has ended."""

    app: ASGIFramework
    memory: RequestMemory

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        held: list[int] = []
        token = _held.set(held)
        try:
            await self.app(scope, receive, send)
        finally:
            _held.reset(token)
            self.memory.num_bytes -= sum(held)
