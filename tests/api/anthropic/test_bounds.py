"""Whatever may be sent without end has a bound, and its error names the field and the limit."""

from __future__ import annotations

import base64
import json
import tracemalloc
import zlib
from typing import Any

import pytest

from pensieve.api.anthropic.decode import decode_count, decode_messages
from pensieve.api.anthropic.wire.signature import MAX_THINKING_BYTES
from pensieve.core.errors import ValidationError

Json = dict[str, Any]

HELLO: Json = {"role": "user", "content": "Hello"}
TEXT: Json = {"type": "text", "text": "a"}
TOOL: Json = {"name": "look", "input_schema": {"type": "object"}}
EDIT: Json = {"type": "clear_tool_uses_20250919"}
LARGE: Json = {"type": "object", "description": "x" * 500_000}


def called_with(value: object) -> list[Json]:
    call = {"type": "tool_use", "id": "t", "name": "look", "input": {"value": value}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "ok"}
    return [HELLO, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]


def result_of(content: object) -> list[Json]:
    call = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": content}
    return [HELLO, {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]


def sent(*blocks: Json) -> list[Json]:
    return [{"role": "user", "content": [*blocks]}]


def added(definition: Json) -> list[Json]:
    change = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": definition}}
    return [HELLO, {"role": "system", "content": [change]}]


BEYOND: dict[str, tuple[Json, str, str]] = {
    "values": ({"new_field": [0] * 200_001}, "body", "200000 JSON values"),
    "values of an input": ({"messages": called_with([{"a": 0}] * 100_001)}, "body", "200000 JSON values"),
    "messages": ({"messages": [HELLO] * 50_001}, "messages", "50000 items"),
    "blocks": ({"messages": sent(*[TEXT] * 10_001)}, "messages.0.content", "10000 items"),
    "unknown blocks": ({"messages": sent(*[{"type": "new"}] * 60_000)}, "messages.0.content", "10000 items"),
    "wrong blocks": (
        {"messages": sent(*[{"type": "text"}] * 60_000)},
        "messages.0.content.0.text.text",
        "Field required",
    ),
    "system": ({"system": [TEXT] * 10_001}, "system", "10000 items"),
    "result": ({"messages": result_of([TEXT] * 10_001)}, "messages.2.content.0.tool_result.content", "10000 items"),
    "type of a block": ({"messages": sent({"type": "x" * 257})}, "messages.0.content.0.type", "256 characters"),
    "stop sequences": ({"stop_sequences": [str(number) for number in range(65)]}, "stop_sequences", "64 items"),
    "stop sequence": ({"stop_sequences": ["a" * 1025]}, "stop_sequences.0", "1024 characters"),
    "edits": ({"context_management": {"edits": [EDIT] * 17}}, "context_management.edits", "16 items"),
    "excluded tools": (
        {"context_management": {"edits": [{**EDIT, "exclude_tools": ["a"] * 1025}]}},
        "context_management.edits.0.exclude_tools",
        "1024 items",
    ),
    "tools": ({"tools": [{**TOOL, "name": f"t{number}"} for number in range(513)]}, "tools", "512"),
    "callers": ({"tools": [{**TOOL, "allowed_callers": ["direct"] * 17}]}, "tools.0.allowed_callers", "16 items"),
    "added tools": (
        {"messages": [HELLO, *[added({**TOOL, "name": f"t{number}"})[1] for number in range(513)]]},
        "messages.513.content.0.tool.definition",
        "512",
    ),
    "schema of an added tool": (
        {"messages": added({**TOOL, "input_schema": LARGE})},
        "messages.1.content.0.tool.definition.input_schema",
        "500000",
    ),
    "schemas of added tools": (
        {"messages": [HELLO, *[added({**TOOL, "input_schema": {**LARGE, "description": "x" * 400_000}})[1]] * 6]},
        "messages.5.content.0.tool.definition",
        "2000000",
    ),
    "schema of an answer": (
        {"output_config": {"format": {"type": "json_schema", "schema": LARGE}}},
        "output_config.format.schema",
        "500000",
    ),
}


def error_of(fields: Json) -> ValidationError:
    request = json.dumps({"model": "m", "max_tokens": 8, "messages": [HELLO], **fields})
    with pytest.raises(ValidationError) as caught:
        decode_messages(request.encode())
    return caught.value


@pytest.mark.parametrize(("fields", "path", "limit"), BEYOND.values(), ids=BEYOND.keys())
def test_more_than_a_request_may_have_is_refused_with_the_limit(fields: Json, path: str, limit: str) -> None:
    error = error_of(fields)
    assert error.field == path
    assert limit in str(error)
    assert len(str(error)) < 500


def test_a_count_checks_the_schema_of_the_answer_as_the_message_does() -> None:
    schema = {"type": "object", "description": "x" * 500_000}
    request = {
        "model": "m",
        "messages": [HELLO],
        "output_config": {"format": {"type": "json_schema", "schema": schema}},
    }
    with pytest.raises(ValidationError, match=r"output_config.format.schema: has \d+ characters"):
        decode_count(json.dumps(request).encode())


def test_a_long_list_of_open_calls_makes_no_long_error() -> None:
    calls = [{"type": "tool_use", "id": f"toolu_{number}", "name": "look", "input": {}} for number in range(9_000)]
    error = error_of({"messages": [HELLO, {"role": "assistant", "content": calls}, HELLO]})
    assert "toolu_0, toolu_1" in str(error)
    assert len(str(error)) < 1000


def test_signatures_hold_no_more_thinking_than_a_body_could() -> None:
    """A signature of 4 kB may stand for 4 MB."""
    held = zlib.compress(b"a" * MAX_THINKING_BYTES)
    thinking = {"type": "thinking", "thinking": "", "signature": base64.b64encode(bytes(32) + held).decode()}
    messages = [HELLO, {"role": "assistant", "content": [*[thinking] * 500, TEXT]}, HELLO]
    tracemalloc.start()
    try:
        error = error_of({"messages": messages})
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert error.field == "messages.1.content.8.signature"
    assert "32 MB" in str(error)
    assert peak_bytes < 200_000_000
