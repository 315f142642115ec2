"""Makes hypercorn close a connection as soon as its client has closed it.

hypercorn 0.18 keeps such a connection until its keep-alive timeout. With a timeout of minutes, every client that sends
a single request would hold a file descriptor for as long.
"""

from __future__ import annotations

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer


class PromptlyClosedConnection(TCPServer):
    """One connection, despite the name of its base class."""

    async def _read_data(self) -> None:
        """Read until the client closes its side, then end the wait for another request."""
        await super()._read_data()
        await self.idle_task.stop()


def close_connections_promptly() -> None:
    """Apply the fix to all hypercorn servers of this process. Safe to call again."""
    hypercorn.asyncio.run.TCPServer = PromptlyClosedConnection  # type: ignore[attr-defined]
