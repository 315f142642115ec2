"""Receives request bodies within limits of time and of bytes, so that clients that stall cannot fill the memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from pensieve.api.http.connections.limits import ConnectionLimits
from pensieve.core.errors import OverloadedError

INCOMING_BODIES = "pensieve.incoming_bodies"
"""The extension of an app that holds its IncomingBodies."""


@dataclass(eq=False, slots=True)
class _Incoming:
    """A body that is not whole yet. Its `timer` interrupts the wait for its next part."""

    timer: asyncio.Timeout
    ends_at: float
    num_bytes: int = 0
    is_given_up: bool = False

    def interrupt_at(self, when: float) -> None:
        if not self.timer.expired():
            self.timer.reschedule(min(when, self.ends_at))


class IncomingBodies:
    """All bodies that are being received. Where they exceed the limit together, the one that has paused for
    longest is given up: clients that stall make room for those that send.
    """

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        self._incoming: dict[_Incoming, None] = {}  # the one that has paused for longest is the first
        self._num_bytes = 0

    async def receive(self, parts: AsyncIterator[bytes], max_bytes: int) -> bytes:
        """The whole body.

        Raises:
            RequestEntityTooLarge: it exceeds `max_bytes`.
            RequestTimeout: it did not arrive in time.
            OverloadedError: other bodies need its room.
        """
        ends_at = asyncio.get_running_loop().time() + self._limits.max_body_seconds
        body = _Incoming(asyncio.timeout(self._limits.max_pause_seconds), ends_at)
        try:
            return await self._whole(body, parts, max_bytes)
        finally:
            self._forget(body)

    async def _whole(self, body: _Incoming, parts: AsyncIterator[bytes], max_bytes: int) -> bytes:
        received = bytearray()  # a list of parts would take 40 times the bytes of parts of one byte
        self._incoming[body] = None
        try:
            async with body.timer:
                async for part in parts:
                    received += part
                    self._count(body, len(part))
                    if body.num_bytes > max_bytes:
                        raise RequestEntityTooLarge
        except TimeoutError:
            if not body.is_given_up:
                raise self._timeout() from None
        if body.is_given_up:
            raise OverloadedError("too many request bodies are being received at the same time")
        return bytes(received)

    def _count(self, body: _Incoming, num_bytes: int) -> None:
        """Count another part of a body, and give up others while they exceed the limit together."""
        if body.is_given_up:
            raise TimeoutError
        self._incoming[body] = self._incoming.pop(body)
        body.num_bytes += num_bytes
        self._num_bytes += num_bytes
        now = asyncio.get_running_loop().time()
        body.interrupt_at(now + self._limits.max_pause_seconds)
        while self._num_bytes > self._limits.max_total_bytes and self._incoming:
            slowest = next(iter(self._incoming))
            slowest.is_given_up = True
            slowest.interrupt_at(now)
            self._forget(slowest)

    def _forget(self, body: _Incoming) -> None:
        self._incoming.pop(body, None)
        self._num_bytes -= body.num_bytes
        body.num_bytes = 0

    def _timeout(self) -> RequestTimeout:
        return RequestTimeout(
            f"body: incomplete after a pause of {self._limits.max_pause_seconds:g} seconds, or after "
            f"{self._limits.max_body_seconds:g} seconds in all"
        )
