"""Message streams for tests: random walks of the transition table, and the clause that a changed walk breaks."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from contracts.streams.message_stream import TERMINAL_STATES, TRANSITIONS, StreamState

Event = dict[str, Any]

SECRET = "a private text"
"""The text of every block: no violation may contain it."""

BLOCKS: dict[str, Event] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
    "tool_use": {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}},
    "redacted_thinking": {"type": "redacted_thinking", "data": SECRET},
    "of the future": {"type": "of the future"},
}
DELTAS: dict[str, list[Event]] = {
    "text": [{"type": "text_delta", "text": SECRET}, {"type": "text_delta", "text": ""}],
    "thinking": [
        {"type": "thinking_delta", "thinking": SECRET},
        {"type": "signature_delta", "signature": SECRET},
    ],
    "tool_use": [
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": SECRET},
    ],
    "redacted_thinking": [],
    "of the future": [{"type": "future_delta", "anything": SECRET}],
}
REASONS = ["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal"]
MAX_EVENTS = 25
WAY_OUT = {
    StreamState.UNSTARTED: "message_start",
    StreamState.BETWEEN: "message_delta",
    StreamState.IN_BLOCK: "content_block_stop",
    StreamState.ENDING: "message_stop",
}


@st.composite
def walks(draw: st.DrawFn) -> list[Event]:
    """A complete stream: any walk of the table from the start to a terminal state."""
    walk, state = _Walk(draw), StreamState.UNSTARTED
    while state not in TERMINAL_STATES:
        names = [name for at, name in TRANSITIONS if at is state and walk.allows(name)]
        chosen = WAY_OUT[state] if len(walk.events) > MAX_EVENTS else draw(st.sampled_from(names))
        name = chosen if chosen in names else "message_delta"
        walk.events.append(walk.event(name))
        state = TRANSITIONS[state, name]
    return walk.events


class _Walk:
    """Fills events with content that fits the events before them."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.events: list[Event] = []
        self._draw = draw
        self._num_blocks = 0
        self._block_type = ""
        self._reason: str | None = None
        self._output_tokens = 0
        self._input_usage: Event = {}

    def allows(self, name: str) -> bool:
        """A block of some types takes no delta, and a message stops only with a reason."""
        if name == "content_block_delta":
            return bool(DELTAS[self._block_type])
        return name != "message_stop" or self._reason is not None

    def event(self, name: str) -> Event:
        content: Event = getattr(self, f"_{name}", dict)()
        return {"type": name, **content}

    def _message_start(self) -> Event:
        counts = st.integers(0, 1000)
        self._input_usage = {"input_tokens": self._draw(st.integers(1, 1000))}
        self._input_usage |= self._draw(
            st.fixed_dictionaries(
                {}, optional={"cache_read_input_tokens": counts, "cache_creation_input_tokens": counts | st.none()}
            )
        )
        return {
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": self._usage(),
            }
        }

    def _content_block_start(self) -> Event:
        self._block_type = self._draw(st.sampled_from(sorted(BLOCKS)))
        self._num_blocks += 1
        return {"index": self._num_blocks - 1, "content_block": BLOCKS[self._block_type]}

    def _content_block_delta(self) -> Event:
        return {"index": self._num_blocks - 1, "delta": self._draw(st.sampled_from(DELTAS[self._block_type]))}

    def _content_block_stop(self) -> Event:
        return {"index": self._num_blocks - 1}

    def _message_delta(self) -> Event:
        """Only the last message_delta needs a reason; earlier ones may leave it open."""
        self._reason = self._draw(st.none() | st.sampled_from(REASONS)) if len(self.events) < MAX_EVENTS else "end_turn"
        stop = SECRET if self._reason == "stop_sequence" else None
        return {"delta": {"stop_reason": self._reason, "stop_sequence": stop}, "usage": self._usage()}

    def _error(self) -> Event:
        return {"error": {"type": "api_error", "message": SECRET}}

    def _usage(self) -> Event:
        self._output_tokens += self._draw(st.integers(0, 100))
        return {**self._input_usage, "output_tokens": self._output_tokens}


def fault_of(events: list[Event]) -> str | None:
    """The clause that a walk breaks after events were dropped, repeated or moved: a slow but simple oracle."""
    state, last_reason, last_count = StreamState.UNSTARTED, None, 0
    for number, event in enumerate(events):
        if (state, event["type"]) not in TRANSITIONS:
            return "MS-2"
        if "index" in event and event["index"] != _expected_index(events[:number], event["type"]):
            return "MS-4"
        if event["type"] == "message_stop" and last_reason is None:
            return "MS-6"
        if event["type"] == "message_delta":
            last_reason, count = event["delta"]["stop_reason"], event["usage"]["output_tokens"]
            if count < last_count:
                return "MS-7"
            last_count = count
        state = TRANSITIONS[state, event["type"]]
    return None if state in TERMINAL_STATES else "MS-8"


def _expected_index(before: list[Event], name: str) -> int:
    num_blocks = [event["type"] for event in before].count("content_block_start")
    return num_blocks if name == "content_block_start" else num_blocks - 1
