"""The monitor of message streams: every walk of the table passes, and every deviation is caught by its clause."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.clauses import ContractViolation
from contracts.streams import message_stream
from contracts.streams.message_stream import (
    EVENT_NAMES,
    STREAM_CLAUSES,
    TERMINAL_STATES,
    TRANSITIONS,
    StreamMonitor,
    StreamState,
)
from tests.contracts.streams.walks import SECRET, Event, fault_of, walks

PLAIN: list[Event] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "m",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 9, "cache_read_input_tokens": 4, "output_tokens": 1},
        },
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": SECRET}},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 5},
    },
    {"type": "message_stop"},
]
START, BLOCK, DELTA, STOP, ENDING, LAST = range(6)


def fault(events: list[Event]) -> str | None:
    """The clause that the monitor names. Its message must not contain any text of the stream."""
    monitor, caught = StreamMonitor(), None
    try:
        for event in events:
            monitor.see(event)
        monitor.finish()
    except ContractViolation as violation:
        caught = violation
    assert SECRET not in str(caught)
    return caught.clause.id if caught else None


def changed(number: int, change: Callable[[Event], object], events: list[Event] = PLAIN) -> list[Event]:
    """The events, with one of them changed in place by `change`."""
    copied = copy.deepcopy(events)
    change(copied[number])
    return copied


def test_the_table_in_the_documentation_is_the_table_in_the_code() -> None:
    rows = re.findall(r"^    ([A-Z][A-Z_]+) +(\w+) +([A-Z_]+)$", message_stream.__doc__ or "", re.MULTILINE)
    written = {(StreamState[state], name): StreamState[following] for state, name, following in rows}
    open_states = set(StreamState) - TERMINAL_STATES
    written |= {(state, "ping"): state for state in open_states - {StreamState.UNSTARTED}}
    written |= {(state, "error"): StreamState.FAILED for state in open_states}
    assert dict(TRANSITIONS) == written


def test_terminal_states_have_no_transitions() -> None:
    assert not [state for state, _ in TRANSITIONS if state in TERMINAL_STATES]


@settings(deadline=None)
@given(walks())
def test_every_walk_of_the_table_is_accepted(events: list[Event]) -> None:
    assert fault(events) is None


@settings(deadline=None)
@given(walks(), st.data())
def test_a_stream_that_lost_an_event_is_caught_unless_it_is_still_valid(
    events: list[Event], data: st.DataObject
) -> None:
    del events[data.draw(st.integers(0, len(events) - 1))]
    assert fault(events) == fault_of(events)


@settings(deadline=None)
@given(walks(), st.data())
def test_a_stream_that_repeats_an_event_is_caught_unless_it_is_still_valid(
    events: list[Event], data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(events) - 1))
    events.insert(number, events[number])
    assert fault(events) == fault_of(events)


@settings(deadline=None)
@given(walks(), st.data())
def test_a_stream_with_swapped_events_is_caught_unless_it_is_still_valid(
    events: list[Event], data: st.DataObject
) -> None:
    one, other = (data.draw(st.integers(0, len(events) - 1)) for _ in range(2))
    events[one], events[other] = events[other], events[one]
    assert fault(events) == fault_of(events)


@settings(deadline=None)
@given(walks(), st.data())
def test_a_wrong_index_is_caught(events: list[Event], data: st.DataObject) -> None:
    indexed = [number for number, event in enumerate(events) if "index" in event]
    if indexed:
        number = data.draw(st.sampled_from(indexed))
        right = events[number]["index"]
        wrong = data.draw(st.sampled_from([right + 1, right - 1, str(right), float(right), bool(right), None]))
        assert fault(changed(number, lambda event: event.update(index=wrong), events)) == "MS-4"


@settings(deadline=None)
@given(walks(), st.data())
def test_a_wrong_count_of_tokens_is_caught(events: list[Event], data: st.DataObject) -> None:
    counted = [number for number, event in enumerate(events) if event["type"] in ("message_start", "message_delta")]
    if counted:
        number = data.draw(st.sampled_from(counted))
        name, count = data.draw(
            st.sampled_from(
                [("output_tokens", -1), ("output_tokens", None), ("input_tokens", -1), ("input_tokens", 1.5)]
            )
        )

        def miscount(event: Event) -> None:
            usage = event["message"]["usage"] if "message" in event else event["usage"]
            usage[name] = count

        assert fault(changed(number, miscount, events)) == "MS-7"


@settings(deadline=None)
@given(walks(), st.integers(0, 30), st.sampled_from(["completion", "", None, 7, ["ping"]]))
def test_an_event_of_an_unknown_type_is_caught_anywhere(events: list[Event], at: int, name: object) -> None:
    events.insert(min(at, len(events) - 1), {"type": name})
    assert fault(events) == "MS-1"


def message(event: Event) -> Event:
    message: Event = event["message"]
    return message


@pytest.mark.parametrize(
    ("clause_id", "number", "change"),
    [
        ("MS-3", START, lambda event: event.pop("message")),
        ("MS-3", START, lambda event: message(event).update(role="user")),
        ("MS-3", START, lambda event: message(event).update(content=[{"type": "text", "text": SECRET}])),
        ("MS-3", START, lambda event: message(event).pop("stop_reason")),
        ("MS-3", START, lambda event: message(event).update(stop_sequence="")),
        ("MS-3", START, lambda event: message(event).update(id="")),
        ("MS-3", START, lambda event: message(event).pop("model")),
        ("MS-4", BLOCK, lambda event: event.pop("index")),
        ("MS-5", DELTA, lambda event: event.pop("delta")),
        ("MS-5", DELTA, lambda event: event["delta"].pop("text")),
        ("MS-5", DELTA, lambda event: event["delta"].update(type=SECRET)),
        ("MS-5", DELTA, lambda event: event.update(delta={"type": "input_json_delta", "partial_json": "{}"})),
        ("MS-6", ENDING, lambda event: event.pop("delta")),
        ("MS-6", ENDING, lambda event: event["delta"].pop("stop_sequence")),
        ("MS-6", ENDING, lambda event: event["delta"].update(stop_reason=SECRET)),
        ("MS-6", ENDING, lambda event: event["delta"].update(stop_reason=["end_turn"])),
        ("MS-6", ENDING, lambda event: event["delta"].update(stop_reason="stop_sequence")),
        ("MS-6", ENDING, lambda event: event["delta"].update(stop_sequence=SECRET)),
        ("MS-6", ENDING, lambda event: event["delta"].update(stop_sequence=0)),
        ("MS-6", ENDING, lambda event: event["delta"].update(stop_reason=None)),
        ("MS-7", START, lambda event: message(event).pop("usage")),
        ("MS-7", START, lambda event: message(event)["usage"].pop("input_tokens")),
        ("MS-7", START, lambda event: message(event)["usage"].update(input_tokens=0, cache_read_input_tokens=0)),
        ("MS-7", START, lambda event: message(event)["usage"].update(output_tokens=True)),
        ("MS-7", ENDING, lambda event: event.pop("usage")),
        ("MS-7", ENDING, lambda event: event["usage"].update(output_tokens=0)),
        ("MS-7", ENDING, lambda event: event["usage"].update(input_tokens=10)),
        ("MS-7", ENDING, lambda event: event["usage"].update(cache_read_input_tokens=0)),
        ("MS-9", BLOCK, lambda event: event.pop("content_block")),
        ("MS-9", BLOCK, lambda event: event["content_block"].pop("type")),
        ("MS-9", BLOCK, lambda event: event["content_block"].pop("text")),
        ("MS-9", BLOCK, lambda event: event["content_block"].update(text=SECRET)),
        ("MS-9", BLOCK, lambda event: event.update(content_block={"type": "thinking"})),
        ("MS-9", BLOCK, lambda event: event.update(content_block={"type": "tool_use", "input": {"path": SECRET}})),
    ],
)
def test_an_event_with_invalid_content_is_caught(
    clause_id: str, number: int, change: Callable[[Event], object]
) -> None:
    assert fault(PLAIN) is None
    assert fault(changed(number, change)) == clause_id


@pytest.mark.parametrize("length", range(len(PLAIN)))
def test_a_stream_that_ends_without_its_last_event_is_caught(length: int) -> None:
    assert fault(PLAIN[:length]) == "MS-8"


@pytest.mark.parametrize("error", [None, {}, {"type": "api_error"}, {"type": "api_error", "message": 500}])
def test_a_malformed_error_is_caught(error: object) -> None:
    assert fault([*PLAIN[:DELTA], {"type": "error", "error": error}]) == "MS-8"


def test_a_prompt_may_be_read_entirely_from_the_cache() -> None:
    cached = changed(START, lambda event: message(event)["usage"].update(input_tokens=0))
    assert fault(cached) is None


def test_the_parts_of_a_prompt_may_change_if_their_sum_does_not() -> None:
    shifted = changed(ENDING, lambda event: event["usage"].update(input_tokens=3, cache_read_input_tokens=10))
    assert fault(shifted) is None


def test_clauses_are_numbered_and_every_event_is_in_the_table() -> None:
    assert [clause.id for clause in STREAM_CLAUSES] == [f"MS-{number}" for number in range(1, 10)]
    assert set(EVENT_NAMES) == {name for _, name in TRANSITIONS}


@settings(deadline=None)
@given(walks())
def test_the_monitor_counts_blocks(events: list[Event]) -> None:
    monitor = StreamMonitor()
    for event in events:
        monitor.see(event)
    assert monitor.num_blocks == sum(event["type"] == "content_block_start" for event in events)
    assert monitor.state in TERMINAL_STATES
