"""Makes hypercorn close connections that their clients have left, or keep open without reading or asking anything.

hypercorn 0.18 keeps a connection that its client has closed until its keep-alive timeout, a connection whose client
does not read for ever, and one that only speaks HTTP/2's preface as well. Each holds a file descriptor, and an answer
that cannot be written holds its place among the running requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial
from typing import Any, cast

import hypercorn.asyncio.run
from h2.exceptions import ProtocolError
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.events import StreamClosed
from hypercorn.protocol.h2 import H2Protocol

from pensieve.api.http.connections.fair_reader import FairReader
from pensieve.api.http.connections.open_connections import OpenConnections
from pensieve.api.http.connections.unread_streams import UnreadStreams

log = logging.getLogger(__name__)

_CHECKS = 4
"""How often the connection is looked at within its shortest limit."""
_END_SECONDS = 1.0
"""How long the requests of a stuck connection have to end."""
_CANCEL = 8
"""An error code of HTTP/2 (RFC 9113, 7)."""


class WatchedConnection(TCPServer):
    """One connection, despite the name of its base class."""

    def __init__(self, *args: Any, max_unread_seconds: float, connections: OpenConnections) -> None:
        super().__init__(*args)
        self._is_served = self._is_given_up = False
        fair = FairReader(self.reader, self._stop_idling, lambda: self._is_served and self._is_http_2)
        self.reader = fair  # type: ignore[assignment]  # it has what hypercorn uses
        self._stopping: asyncio.Task[None] | None = None
        self._connections = connections
        self._max_unread_seconds = max_unread_seconds
        self._num_written = 0
        self._unread = UnreadStreams()

    async def run(self) -> None:
        with self._connections.one() as has_room:
            await (self._serve() if has_room else self._connections.refuse(self.reader, self.writer))

    async def _serve(self) -> None:
        self._is_served = True
        connection = cast("asyncio.Task[None]", asyncio.current_task())
        watch = asyncio.create_task(self._end_when_stuck(connection))
        try:
            await super().run()
        except ExceptionGroup as group:  # what clients do against the rules, such as thousands of streams at once
            log.warning("closed a connection: %r", group.exceptions[0])
            log.debug("closed a connection", exc_info=group)
        except asyncio.CancelledError:
            if not self._is_given_up:
                raise
            connection.uncancel()  # asyncio logs a traceback for a connection that was cancelled
        finally:
            watch.cancel()

    async def _end_when_stuck(self, connection: asyncio.Task[None]) -> None:
        """End its requests as if the client had left: if only the connection is cancelled, they write on without it.

        That may fail, or wait: hypercorn waits for the answer to one request before it reads the next.
        """
        await self._wait_until_stuck()
        self.writer.transport.abort()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await self.protocol.handle(Closed())
                await asyncio.wait([connection])
        except Exception:
            log.debug("ending a connection that is not read", exc_info=True)
        self._is_given_up = True
        connection.cancel()

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, Updated) and (self.writer.transport.is_closing() or self.reader.at_eof()):
            return  # it would wait for another request
        if isinstance(event, RawData):
            self._num_written += len(event.data)
            if self._is_http_2:
                self._unread.note_written(event.data)
        await super().protocol_send(event)

    def _stop_idling(self) -> None:
        """When the client has closed its side: then there will be no other request to wait for."""
        self._stopping = self._stopping or asyncio.create_task(self.idle_task.stop())

    async def _wait_until_stuck(self) -> None:
        """Return when the client has read nothing of what is written, or sent nothing but a preface, for too long."""
        clock = self.loop.time
        interval_seconds = min(self._max_unread_seconds, self.config.keep_alive_timeout) / _CHECKS
        num_read, read_at, used_at = 0, clock(), clock()
        while clock() - read_at < self._max_unread_seconds and clock() - used_at < self.config.keep_alive_timeout:
            await asyncio.sleep(interval_seconds)
            is_waiting = self._num_unsent > 0 or self.writer.transport.is_closing()
            if not is_waiting or self._num_written - self._num_unsent != num_read:
                num_read, read_at = self._num_written - self._num_unsent, clock()
            if not self._is_unused:
                used_at = clock()
            await self._give_up_unread_streams(clock())

    async def _give_up_unread_streams(self, now: float) -> None:
        """While the connection is read: writing to one that is not would wait, and that one is closed as a whole."""
        protocol = self.protocol.protocol
        if not isinstance(protocol, H2Protocol):
            return
        waiting = [stream_id for stream_id, each in protocol.stream_buffers.items() if each.buffer]
        for stream_id in self._unread.longer_than(self._max_unread_seconds, waiting, now):
            if self._num_unsent:
                return
            log.warning("gave up an answer that its client does not read")
            with contextlib.suppress(ProtocolError):  # the client may have reset it
                protocol.connection.reset_stream(stream_id, _CANCEL)
                await self.protocol_send(RawData(data=protocol.connection.data_to_send()))
            if stream_id in protocol.stream_buffers:
                await protocol.stream_buffers[stream_id].close()
            await protocol.stream_send(StreamClosed(stream_id=stream_id))

    @property
    def _num_unsent(self) -> int:
        return self.writer.transport.get_write_buffer_size()

    @property
    def _is_unused(self) -> bool:
        """HTTP/1.1 has its own timeout, as has HTTP/2 after the first request."""
        protocol = self.protocol.protocol
        return isinstance(protocol, H2Protocol) and protocol.idle

    @property
    def _is_http_2(self) -> bool:
        return isinstance(self.protocol.protocol, H2Protocol)


def watch_connections(max_unread_seconds: float, connections: OpenConnections) -> None:
    """Watch the connections of all hypercorn servers of this process that start from now on. Safe to call again."""
    watched = partial(WatchedConnection, max_unread_seconds=max_unread_seconds, connections=connections)
    hypercorn.asyncio.run.TCPServer = watched  # type: ignore[assignment, attr-defined]
