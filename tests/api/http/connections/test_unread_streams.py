"""Which HTTP/2 streams are read is seen from the frames that are written."""

from __future__ import annotations

from hyperframe.frame import DataFrame, Frame, PingFrame, WindowUpdateFrame

from pensieve.api.http.connections.unread_streams import UnreadStreams


def written(*frames: Frame) -> bytes:
    return b"".join(frame.serialize() for frame in frames)


def test_a_stream_is_unread_when_something_has_waited_for_so_long() -> None:
    unread = UnreadStreams()
    assert unread.longer_than(60, [1, 3], 0.0) == []
    assert unread.longer_than(60, [1, 3], 59.0) == []
    assert unread.longer_than(60, [1], 60.0) == [1]


def test_a_stream_that_is_read_slowly_is_not_unread() -> None:
    unread = UnreadStreams()
    for now in range(0, 600, 30):
        assert unread.longer_than(60, [1, 3], now) == ([3] if now >= 60 else [])
        unread.note_written(written(PingFrame(0), DataFrame(1, b"data"), WindowUpdateFrame(3, window_increment=9)))


def test_a_stream_from_which_nothing_waits_begins_again() -> None:
    unread = UnreadStreams()
    assert unread.longer_than(60, [1], 0.0) == []
    assert unread.longer_than(60, [], 50.0) == []
    assert unread.longer_than(60, [1], 100.0) == []
