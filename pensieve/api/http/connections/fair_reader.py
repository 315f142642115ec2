"""Passes on little of a connection's data at a time, so that no client delays the others by what it sends.

hypercorn reads 64 KB and handles it at once. That is thousands of HTTP/2's frames or of chunks of one byte, which take
a tenth of a second and more.
"""

from __future__ import annotations

import asyncio
from typing import Final

PART_BYTES: Final = 8192


class FairReader:
    """What hypercorn uses of a StreamReader."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def read(self, num_bytes: int) -> bytes:
        await asyncio.sleep(0)  # a turn for the others: reading what has arrived already does not wait
        return await self._reader.read(min(num_bytes, PART_BYTES))

    def at_eof(self) -> bool:
        return self._reader.at_eof()
