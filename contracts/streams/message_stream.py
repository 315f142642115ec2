"""The transition table of a Messages stream (W10), and the monitor that checks a stream against it.

Source: Anthropic's documentation, "Streaming Messages", event types: message_start with empty content; then content
blocks, each with a content_block_start, one or more content_block_delta and a content_block_stop, whose index is the
block's position in the final content; one or more message_delta; a final message_stop; ping anywhere; error instead of
the rest.

    state         event                 next state
    ------------  --------------------  ------------
    UNSTARTED     message_start         BETWEEN
    BETWEEN       content_block_start   IN_BLOCK
    IN_BLOCK      content_block_delta   IN_BLOCK
    IN_BLOCK      content_block_stop    BETWEEN
    BETWEEN       message_delta         ENDING
    ENDING        message_delta         ENDING
    ENDING        message_stop          COMPLETE
    BETWEEN, IN_BLOCK, ENDING    ping   the same
    any but COMPLETE, FAILED     error  FAILED
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from contracts.clauses import Clause, ContractViolation


class StreamState(Enum):
    UNSTARTED = "unstarted"
    BETWEEN = "between blocks"
    IN_BLOCK = "in a block"
    ENDING = "ending"
    COMPLETE = "complete"
    FAILED = "failed"


_S = StreamState
TRANSITIONS: Mapping[tuple[StreamState, str], StreamState] = {
    (_S.UNSTARTED, "message_start"): _S.BETWEEN,
    (_S.BETWEEN, "content_block_start"): _S.IN_BLOCK,
    (_S.IN_BLOCK, "content_block_delta"): _S.IN_BLOCK,
    (_S.IN_BLOCK, "content_block_stop"): _S.BETWEEN,
    (_S.BETWEEN, "message_delta"): _S.ENDING,
    (_S.ENDING, "message_delta"): _S.ENDING,
    (_S.ENDING, "message_stop"): _S.COMPLETE,
    (_S.BETWEEN, "ping"): _S.BETWEEN,
    (_S.IN_BLOCK, "ping"): _S.IN_BLOCK,
    (_S.ENDING, "ping"): _S.ENDING,
    (_S.UNSTARTED, "error"): _S.FAILED,
    (_S.BETWEEN, "error"): _S.FAILED,
    (_S.IN_BLOCK, "error"): _S.FAILED,
    (_S.ENDING, "error"): _S.FAILED,
}
TERMINAL_STATES = frozenset({_S.COMPLETE, _S.FAILED})
EVENT_NAMES = tuple(dict.fromkeys(name for _, name in TRANSITIONS))

DELTAS_OF_BLOCK: Mapping[str, frozenset[str]] = {
    "text": frozenset({"text_delta", "citations_delta"}),
    "thinking": frozenset({"thinking_delta", "signature_delta"}),
    "tool_use": frozenset({"input_json_delta"}),
    "server_tool_use": frozenset({"input_json_delta"}),
    "redacted_thinking": frozenset(),
}
"""The delta types that are allowed in each type of block. Any delta is allowed in a type that is not listed."""

STOP_REASONS = frozenset(
    {"end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"}
)


def _clause(number: int, sentence: str) -> Clause:
    return Clause(f"MS-{number}", sentence)


KNOWN_EVENT = _clause(1, "every event has a documented type")
ORDER = _clause(2, "events come in the order of the transition table")
START = _clause(3, "message_start carries an assistant message with empty content, no stop reason, and its usage")
INDEX = _clause(4, "blocks are numbered 0, 1, 2, …; deltas and stops have the index of the open block")
DELTA_TYPE = _clause(5, "a delta's type fits its block, and its field is present even if it is empty")
STOP_REASON = _clause(6, "the last message_delta has a stop reason, and a stop_sequence exactly if that is the reason")
USAGE = _clause(
    7,
    "usage adds up: no count is negative, output_tokens never falls, and the parts of the prompt (input, read from the "
    "cache, written to the cache) have the same sum at the end as at the start",
)
ENDS = _clause(8, "a stream ends with one message_stop or one error")
BLOCK_START = _clause(9, "a block starts empty, with its text and thinking fields present")

STREAM_CLAUSES = (KNOWN_EVENT, ORDER, START, INDEX, DELTA_TYPE, STOP_REASON, USAGE, ENDS, BLOCK_START)

_FIELD_OF_DELTA = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "input_json_delta": "partial_json",
}
_EMPTY_FIELD_OF_BLOCK: Mapping[str, tuple[str, object]] = {
    "text": ("text", ""),
    "thinking": ("thinking", ""),
    "tool_use": ("input", {}),
    "server_tool_use": ("input", {}),
}
_INPUT_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


class StreamMonitor:
    """Sees every event of one stream in order, then its end, in constant time per event.

    Events are the JSON objects of the data lines. Both methods raise ContractViolation.
    """

    def __init__(self) -> None:
        self.state = StreamState.UNSTARTED
        self.num_blocks = 0
        self._block_type = ""
        self._usage: dict[str, int] = {}
        self._prompt_tokens = 0
        self._stop_reason: object = None

    def see(self, event: Mapping[str, Any], /) -> None:
        kind = event.get("type")
        if kind not in EVENT_NAMES:
            raise ContractViolation(KNOWN_EVENT, f"the type is {_shown(kind)}")
        next_state = TRANSITIONS.get((self.state, str(kind)))
        if next_state is None:
            raise ContractViolation(ORDER, f"{kind} while {self.state.value}")
        check = getattr(self, f"_see_{kind}", None)
        if check is not None:
            check(event)
        self.state = next_state

    def finish(self) -> None:
        if self.state not in TERMINAL_STATES:
            raise ContractViolation(ENDS, f"the stream ended while {self.state.value}")

    def _see_message_start(self, event: Mapping[str, Any]) -> None:
        message = event.get("message")
        if not isinstance(message, Mapping):
            raise ContractViolation(START, "message is missing")
        expected: dict[str, object] = {
            "type": "message",
            "role": "assistant",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        for name, value in expected.items():
            if name not in message or message[name] != value:
                raise ContractViolation(START, f"message.{name} is not {value!r}")
        for name in ("id", "model"):
            if not isinstance(message.get(name), str) or not message[name]:
                raise ContractViolation(START, f"message.{name} is missing")
        self._see_usage(message.get("usage"), first=True)

    def _see_content_block_start(self, event: Mapping[str, Any]) -> None:
        if not _is_count(event.get("index"), self.num_blocks):
            raise ContractViolation(INDEX, f"block {_shown(event.get('index'))} instead of {self.num_blocks}")
        block = event.get("content_block")
        if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
            raise ContractViolation(BLOCK_START, "content_block has no type")
        field, empty = _EMPTY_FIELD_OF_BLOCK.get(block["type"], ("", None))
        if field and block.get(field) != empty:
            raise ContractViolation(BLOCK_START, f"{block['type']}.{field} is not {empty!r}")
        self._block_type = block["type"]
        self.num_blocks += 1

    def _see_content_block_delta(self, event: Mapping[str, Any]) -> None:
        self._expect_open_index(event)
        delta = event.get("delta")
        kind = delta.get("type") if isinstance(delta, Mapping) else None
        allowed = DELTAS_OF_BLOCK.get(self._block_type)
        if not isinstance(delta, Mapping) or not isinstance(kind, str) or (allowed is not None and kind not in allowed):
            raise ContractViolation(DELTA_TYPE, f"{_shown(kind)} in a block of type {_shown(self._block_type)}")
        field = _FIELD_OF_DELTA.get(kind)
        if field is not None and not isinstance(delta.get(field), str):
            raise ContractViolation(DELTA_TYPE, f"{kind}.{field} is not a string")

    def _see_content_block_stop(self, event: Mapping[str, Any]) -> None:
        self._expect_open_index(event)

    def _see_message_delta(self, event: Mapping[str, Any]) -> None:
        delta = event.get("delta")
        if not isinstance(delta, Mapping) or "stop_reason" not in delta or "stop_sequence" not in delta:
            raise ContractViolation(STOP_REASON, "stop_reason or stop_sequence is missing")
        reason = delta["stop_reason"]
        if reason is not None and not (isinstance(reason, str) and reason in STOP_REASONS):
            raise ContractViolation(STOP_REASON, f"the reason is {_shown(reason)}")
        sequence = delta["stop_sequence"]
        if not (isinstance(sequence, str) if reason == "stop_sequence" else sequence is None):
            raise ContractViolation(STOP_REASON, "stop_sequence does not match the reason")
        self._stop_reason = reason
        self._see_usage(event.get("usage"), first=False)

    def _see_message_stop(self, event: Mapping[str, Any]) -> None:  # noqa: ARG002 - all checks have the same signature
        if self._stop_reason is None:
            raise ContractViolation(STOP_REASON, "the message stops without a reason")

    def _see_error(self, event: Mapping[str, Any]) -> None:
        error = event.get("error")
        if not isinstance(error, Mapping) or not all(isinstance(error.get(k), str) for k in ("type", "message")):
            raise ContractViolation(ENDS, "the error event lacks error.type or error.message")

    def _see_usage(self, usage: object, *, first: bool) -> None:
        if not isinstance(usage, Mapping):
            raise ContractViolation(USAGE, "usage is missing")
        required = {"input_tokens", "output_tokens"} if first else {"output_tokens"}
        for name in (*_INPUT_COUNTS, "output_tokens"):
            count = usage.get(name)
            if count is None and name not in required:
                continue
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise ContractViolation(USAGE, f"{name} is not a count")
            if name == "output_tokens" and count < self._usage.get(name, 0):
                raise ContractViolation(USAGE, f"{name} fell from {self._usage[name]} to {count}")
            self._usage[name] = count
        whole = sum(self._usage.get(name, 0) for name in _INPUT_COUNTS)
        if first and whole < 1:
            raise ContractViolation(USAGE, "the prompt has no tokens")
        if not first and whole != self._prompt_tokens:
            raise ContractViolation(
                USAGE, f"the prompt had {self._prompt_tokens} tokens at the start and {whole} later"
            )
        self._prompt_tokens = whole

    def _expect_open_index(self, event: Mapping[str, Any]) -> None:
        if not _is_count(event.get("index"), self.num_blocks - 1):
            raise ContractViolation(INDEX, f"{_shown(event.get('index'))} while block {self.num_blocks - 1} is open")


def _shown(value: object) -> str:
    """A value as a violation may show it: names and numbers, but never text."""
    is_name = isinstance(value, str) and len(value) <= 40 and value.isidentifier()
    return repr(value) if is_name or isinstance(value, int) else type(value).__name__


def _is_count(value: object, count: int) -> bool:
    """JSON's true and 1.0 equal 1 in Python, but are not an index."""
    return type(value) is int and value == count
