"""The suite's reader of server-sent events follows the WHATWG standard."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.harness.wire.sse import EventReader, ServerSentEvent

Pair = tuple[str, str]


def read(*chunks: bytes) -> list[Pair]:
    reader = EventReader()
    return [(event.name, event.data) for chunk in chunks for event in reader.feed(chunk)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_of_three_ways(line_end: str) -> None:
    stream = line_end.join(["event: a", "data: 1", "", "event: b", "data: 2", "", ""])
    assert read(stream.encode()) == [("a", "1"), ("b", "2")]


def test_a_crlf_split_between_chunks_is_one_line_end() -> None:
    assert read(b"event: a\r", b"\ndata: 1\r", b"\n\r", b"\n") == [("a", "1")]


def test_several_data_lines_are_joined_by_line_feeds() -> None:
    assert read(b"data: one\ndata:two\ndata:\n\n") == [("message", "one\ntwo\n")]


def test_comments_are_counted_but_are_not_events() -> None:
    reader = EventReader()
    assert [event.data for event in reader.feed(b": keepalive\n\n:\ndata: x\n\n")] == ["x"]
    assert reader.num_comments == 2


def test_an_event_without_data_is_ignored_and_so_is_its_name() -> None:
    assert read(b"event: lost\n\ndata: x\n\n") == [("message", "x")]


def test_one_space_after_the_colon_is_not_part_of_the_value() -> None:
    assert read(b"data:  x\n\n") == [("message", " x")]


def test_other_fields_and_a_byte_order_mark_are_ignored() -> None:
    assert read(b"\xef\xbb\xbfid: 7\nretry: 10\nwhatever\ndata: x\n\n") == [("message", "x")]


def test_an_unfinished_event_at_the_end_is_dropped() -> None:
    reader = EventReader()
    assert reader.feed(b"data: x\n") == []
    assert not reader.is_between_events
    assert len(reader.feed(b"\n")) == 1
    assert reader.is_between_events


def test_an_event_arrives_with_its_last_byte() -> None:
    clock = itertools.count()
    reader = EventReader(clock=lambda: float(next(clock)))
    assert reader.feed(b"data: x\n") == []
    assert reader.feed(b"\ndata: y\n\n") == [ServerSentEvent("message", "x", 0.0), ServerSentEvent("message", "y", 1.0)]


@pytest.mark.parametrize("data", ["not JSON", "[]", '"text"', "42"])
def test_data_that_is_not_a_json_object_fails_with_that_message(data: str) -> None:
    with pytest.raises(AssertionError, match="expected a JSON object"):
        ServerSentEvent("message", data, 0.0).json()


_LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"))


@given(st.lists(_LINES, min_size=1), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_chunk_boundaries_do_not_change_the_events(lines: list[str], line_end: str, data: st.DataObject) -> None:
    stream = "".join(f"data: {line}{line_end}" for line in lines).encode() + line_end.encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    pieces = [stream[start:end] for start, end in itertools.pairwise([0, *cuts, len(stream)])]
    assert read(*pieces) == [("message", "\n".join(lines))]
