"""Thousands of generated requests, most of them almost valid. Each gets an answer or an error in the right format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.streams.message_stream import StreamMonitor
from tests.support.running_server import scripted_server

SCRIPT = """
[[reply]]
when = "call"
text = '<think>Which one?</think> <tool_call>{"name": "get", "arguments": {"a": "b c"}}</tool_call>'
[[reply]]
text = "Hello from the script."
"""

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**6) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def mostly(valid: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A valid value, or junk one time in twenty."""
    return st.integers(0, 19).flatmap(lambda draw: JUNK if draw == 13 else valid)


def record(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    return mostly(
        st.fixed_dictionaries(
            {key: mostly(value) for key, value in required.items()},
            optional={key: mostly(value) for key, value in optional.items()},
        )
    )


TEXT = st.sampled_from(["Hello", "call", "", "\n", "ünï ✓", "<|im_end|>"])
ID = st.sampled_from(["toolu_1", "toolu_2"])
NAME = st.sampled_from(["get", "put", "no such tool"])
SCHEMA = st.sampled_from(
    [{"type": "object"}, {"type": "object", "properties": {"a": {"type": "string"}}}, {"type": "x"}, {}]
)
BLOCK = st.one_of(
    record({"type": st.just("text"), "text": TEXT}, {"cache_control": st.just({"type": "ephemeral"})}),
    record({"type": st.just("image"), "source": JUNK}, {}),
    record(
        {
            "type": st.just("document"),
            "source": record(
                {"type": st.sampled_from(["text", "base64", "url", "content"])},
                {"data": TEXT, "media_type": st.just("application/pdf"), "content": JUNK},
            ),
        },
        {"title": TEXT},
    ),
    record({"type": st.just("tool_use"), "id": ID, "name": NAME, "input": st.dictionaries(TEXT, JUNK, max_size=2)}, {}),
    record({"type": st.just("tool_result"), "tool_use_id": ID}, {"content": TEXT, "is_error": st.booleans()}),
    record({"type": st.just("thinking"), "thinking": TEXT}, {"signature": TEXT}),
    record({"type": st.sampled_from(["redacted_thinking", "tool_reference", "hologram"])}, {"tool_name": NAME}),
    record({"type": st.just("search_result"), "title": TEXT, "source": TEXT, "content": TEXT}, {}),
    record({"type": st.just("compaction")}, {"content": st.none() | TEXT}),
    record(
        {"type": st.sampled_from(["server_tool_use", "mcp_tool_use"]), "id": ID, "name": NAME, "input": st.just({})},
        {"server_name": TEXT},
    ),
    record(
        {"type": st.sampled_from(["web_fetch_tool_result", "mcp_tool_result"]), "tool_use_id": ID},
        {"content": JUNK, "is_error": st.booleans()},
    ),
    record(
        {
            "type": st.sampled_from(["tool_addition", "tool_removal"]),
            "tool": record(
                {"type": st.sampled_from(["tool_reference", "tool_definition", "mcp_tool_reference"])},
                {"name": NAME, "definition": record({"name": NAME, "input_schema": SCHEMA}, {})},
            ),
        },
        {},
    ),
    record({"type": st.sampled_from(["fallback", "container_upload", "mcp_tool_listing"])}, {"file_id": TEXT}),
)
CONTENT = st.one_of(TEXT, st.lists(BLOCK, max_size=3))
MESSAGE = st.one_of(
    record({"role": st.sampled_from(["user", "assistant", "system"]), "content": CONTENT}, {}),
    record(
        {"role": st.just("system")},
        {
            "content": CONTENT,
            "clear_at": st.sampled_from(["next_user_message", "never"]),
            "output_config": record({}, {"effort": st.sampled_from(["low", "immense"])}),
        },
    ),
)
TOOL_FIELDS = {
    "defer_loading": st.booleans(),
    "strict": st.booleans(),
    "allowed_callers": st.just(["direct"]),
    "input_examples": st.lists(st.dictionaries(TEXT, JUNK, max_size=2), max_size=2),
}
TOOL = st.one_of(
    record({"name": NAME, "input_schema": SCHEMA}, {"description": TEXT, **TOOL_FIELDS}),
    record(
        {
            "type": st.sampled_from(["bash_20250124", "web_search_20250305", "tool_search_tool_regex", "mcp_toolset"]),
            "name": st.sampled_from(["bash", "web_search", "get"]),
        },
        TOOL_FIELDS,
    ),
)
BODY = record(
    {
        "model": st.sampled_from(["scripted", "claude-x", "unknown"]),
        "messages": st.lists(MESSAGE, min_size=1, max_size=4),
        "max_tokens": st.sampled_from([1, 3, 50, 0, 10**9]),
    },
    {
        "system": CONTENT,
        "stream": st.booleans(),
        "temperature": st.floats(-1, 3),
        "top_p": st.floats(-0.5, 1.5),
        "top_k": st.integers(-1, 50),
        "stop_sequences": st.lists(TEXT, max_size=3),
        "tools": st.lists(TOOL, max_size=2),
        "tool_choice": record({"type": st.sampled_from(["auto", "any", "tool", "none"])}, {"name": NAME}),
        "thinking": record(
            {"type": st.sampled_from(["enabled", "disabled", "adaptive"])}, {"budget_tokens": st.just(1024)}
        ),
        "output_config": record(
            {},
            {
                "format": record({"type": st.just("json_schema"), "schema": SCHEMA}, {}),
                "effort": st.sampled_from(["low", "max", "immense"]),
            },
        ),
        "context_management": record(
            {}, {"edits": st.lists(record({"type": st.sampled_from(["clear_thinking_20251015", "x"])}, {"keep": JUNK}))}
        ),
        "metadata": record({}, {"user_id": TEXT}),
    },
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with scripted_server(tmp_path_factory.mktemp("script"), SCRIPT) as client:
        yield client


@settings(max_examples=4 * settings().max_examples, suppress_health_check=list(HealthCheck))
@given(body=BODY)
def test_any_message_request_gets_an_answer_or_an_error_in_the_right_format(client: httpx.Client, body: Any) -> None:
    response = client.post("/v1/messages", content=json.dumps(body).encode())
    if response.status_code != 200:
        expect_error(response)
    elif response.headers["content-type"].startswith("text/event-stream"):
        monitor = StreamMonitor()
        for line in response.text.splitlines():
            if line.startswith("data: "):
                monitor.see(json.loads(line[6:]))
        monitor.finish()
    else:
        message = response.json()
        assert message["type"] == "message"
        assert message["stop_reason"] is not None


@settings(max_examples=2 * settings().max_examples, suppress_health_check=list(HealthCheck))
@given(body=BODY)
def test_any_count_request_gets_an_answer_or_an_error_in_the_right_format(client: httpx.Client, body: Any) -> None:
    response = client.post("/v1/messages/count_tokens", content=json.dumps(body).encode())
    if response.status_code == 200:
        assert response.json()["input_tokens"] >= 1
    else:
        expect_error(response)


@settings(max_examples=settings().max_examples, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=40))
def test_any_bytes_get_an_error_in_the_right_format(client: httpx.Client, body: bytes) -> None:
    expect_error(client.post("/v1/messages", content=body))


def expect_error(response: httpx.Response) -> None:
    reply = response.json()
    assert response.status_code in (400, 404), f"{response.status_code}: {reply}"
    assert reply["type"] == "error"
    assert reply["error"]["type"] in ("invalid_request_error", "not_found_error")
    assert reply["error"]["message"]
    assert reply["request_id"] == response.headers["request-id"]
