"""Connections whose clients have gone are closed at once.

hypercorn 0.18 keeps one until its idle time is over, though nobody is there to send another request on it: with a
keep-alive time of minutes, every client that asks once leaves a file descriptor behind for as long.
"""

from __future__ import annotations

import hypercorn.asyncio.run
from hypercorn.asyncio.tcp_server import TCPServer


class ClosedAtOnce(TCPServer):
    """One connection."""

    async def _read_data(self) -> None:
        """Returns when the client has closed its side: nothing is left to be idle for."""
        await super()._read_data()
        await self.idle_task.stop()


def close_at_once() -> None:
    """Have hypercorn's servers of this process do so. Again does nothing."""
    hypercorn.asyncio.run.TCPServer = ClosedAtOnce  # type: ignore[attr-defined]
