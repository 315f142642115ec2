"""Passes on little of a connection's data at a time, so that no client delays the others by what it sends.

hypercorn reads 64 KB and handles it at once. That is thousands of HTTP/2's frames or of chunks of one byte, which take
a tenth of a second and more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

PART_BYTES: Final = 8192
FRAMES_BYTES: Final = 1024
"""Of HTTP/2, and of what begins a connection: 8 KB may be 200 requests and their resets, which take 0.15 s."""


class FairReader:
    """What hypercorn uses of a StreamReader. Calls `at_end` when nothing is left to read, or reading fails.

    `is_http_2()`: what is read next are frames.
    """

    def __init__(
        self, reader: asyncio.StreamReader, at_end: Callable[[], None], is_http_2: Callable[[], bool] = lambda: False
    ) -> None:
        self._reader = reader
        self._at_end = at_end
        self._is_http_2 = is_http_2
        self._has_begun = False

    async def read(self, num_bytes: int) -> bytes:
        await asyncio.sleep(0)  # a turn for the others: reading what has arrived already does not wait
        max_bytes = PART_BYTES if self._has_begun and not self._is_http_2() else FRAMES_BYTES
        self._has_begun = True
        try:
            return await self._reader.read(min(num_bytes, max_bytes))
        except BaseException:
            self._at_end()
            raise

    def at_eof(self) -> bool:
        is_at_end = self._reader.at_eof()
        if is_at_end:
            self._at_end()
        return is_at_end
