"""A stream with one fault breaks one clause, so that one fault does not fail nine scenarios."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from features.harness.wire.stream_grammar import violations

Events = list[dict[str, Any]]


def valid_stream() -> Events:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    return [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " you"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    ]


def _no_block_stop(events: Events) -> None:
    del events[5]


def _no_message_stop(events: Events) -> None:
    del events[-1]


def _unknown_event(events: Events) -> None:
    events.insert(3, {"type": "message_progress"})


def _content_at_the_start(events: Events) -> None:
    events[0]["message"]["content"] = [{"type": "text", "text": "Hello"}]


def _block_numbered_from_one(events: Events) -> None:
    for event in events:
        if "index" in event:
            event["index"] += 1


def _thinking_in_a_text_block(events: Events) -> None:
    events[3]["delta"] = {"type": "thinking_delta", "thinking": "Hm"}


def _no_stop_reason(events: Events) -> None:
    events[6]["delta"]["stop_reason"] = None


def _usage_that_falls(events: Events) -> None:
    events[6]["usage"]["output_tokens"] = 0


def _block_that_starts_with_text(events: Events) -> None:
    events[1]["content_block"]["text"] = "Hello"


def test_a_valid_stream_breaks_no_clause() -> None:
    assert violations(valid_stream()) == []


@pytest.mark.parametrize(
    ("break_it", "clause"),
    [
        (_unknown_event, "MS-1"),
        (_no_block_stop, "MS-2"),
        (_content_at_the_start, "MS-3"),
        (_block_numbered_from_one, "MS-4"),
        (_thinking_in_a_text_block, "MS-5"),
        (_no_stop_reason, "MS-6"),
        (_usage_that_falls, "MS-7"),
        (_no_message_stop, "MS-8"),
        (_block_that_starts_with_text, "MS-9"),
    ],
)
def test_one_fault_breaks_one_clause(break_it: Callable[[Events], None], clause: str) -> None:
    events = copy.deepcopy(valid_stream())
    break_it(events)
    assert {violation.clause.id for violation in violations(events)} == {clause}
