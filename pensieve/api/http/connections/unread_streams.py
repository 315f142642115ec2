"""Finds HTTP/2 streams whose client does not read, although the connection works.

hypercorn 0.18 lets an application go on whenever it takes less than 16 KB from a stream's buffer, also when it takes
nothing because the stream's window is empty. So no send waits, and only what is written says which streams are read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

_HEAD_BYTES: Final = 9
"""Length, type, flags and stream of a frame (RFC 9113, 4.1)."""
_DATA: Final = 0


class UnreadStreams:
    """Of one connection. Times are of any clock that never goes back."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        """Since when the client has read nothing of each stream that has data to send."""

    def note_written(self, frames: bytes) -> None:
        """`frames` are whole."""
        for stream_id in _streams_with_data(frames):
            self._since.pop(stream_id, None)

    def longer_than(self, seconds: float, waiting: Collection[int], now: float) -> list[int]:
        """The ids of streams from which the client has read nothing for `seconds`. Those that have data to send now are
        `waiting`.
        """
        self._since = {stream_id: self._since.get(stream_id, now) for stream_id in waiting}
        return [stream_id for stream_id, since in self._since.items() if now - since >= seconds]


def _streams_with_data(frames: bytes) -> Iterator[int]:
    at = 0
    while at + _HEAD_BYTES <= len(frames):
        if frames[at + 3] == _DATA:
            yield int.from_bytes(frames[at + 5 : at + 9], "big")
        at += _HEAD_BYTES + int.from_bytes(frames[at : at + 3], "big")
