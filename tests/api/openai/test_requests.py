"""OpenAI's API over real sockets: clients that disconnect, and requests that are almost valid."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.anthropic.test_any_request import record
from tests.support.running_server import scripted_server
from tests.support.waiting import wait_until

SLOW = '[[reply]]\ntext = "one two three four five"\nrepeat = 200\nseconds_per_token = 1\n'
"""An answer of 900 tokens outlasts every wait of these tests, so that only a disconnect ends it."""
CALLS = """
[[reply]]
when = "call"
text = '<think>Which one?</think> <tool_call>{"name": "get", "arguments": {"a": "b c"}}</tool_call>'
"""
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "x"}]},
    "/v1/completions": {"prompt": "x"},
}


def wait_until_idle(client: httpx.Client) -> None:
    wait_until(lambda: client.get("/health").json()["requests"]["active"] == 0)


@pytest.mark.parametrize("path", BODIES)
def test_a_disconnect_ends_the_generation(tmp_path: Path, path: str) -> None:
    body = {"model": "claude-any", "max_tokens": 900, **BODIES[path]}
    with scripted_server(tmp_path, SLOW) as client:
        with client.stream("POST", path, json={**body, "stream": True}) as response:
            lines = response.iter_lines()
            next(lines)
            assert client.get("/health").json()["requests"]["active"] == 1
        wait_until_idle(client)
        with pytest.raises(httpx.ReadTimeout):
            client.post(path, json=body, timeout=0.5)
        wait_until_idle(client)
        assert client.get("/health").json()["memory"]["kv_cache_bytes"] == 0


TEXT = st.sampled_from(["Hello", "call", "\n", "ünï ✓", "<|im_end|>"])
ID = st.sampled_from(["call_1", "call_2"])
NAME = st.sampled_from(["get", "put", "no such tool"])
SCHEMA = st.sampled_from([{"type": "object"}, {"type": "object", "properties": {"a": {"type": "string"}}}, {"type": 1}])
FILE = record({}, {"file_data": st.sampled_from(["", "AAAA", "data:text/plain,Hi"]), "filename": TEXT, "file_id": TEXT})
PART = st.one_of(
    record({"type": st.just("text"), "text": TEXT}, {}),
    record({"type": st.just("refusal"), "refusal": TEXT}, {}),
    record({"type": st.just("file"), "file": FILE}, {}),
    record({"type": st.sampled_from(["image_url", "input_audio", "of_tomorrow"])}, {}),
)
ARGUMENTS = st.sampled_from(["{}", '{"a": "b"}', "", "{", '{"a": "\\ud800"}', None, {}, {"a": [1, None]}, 7])
FUNCTION = record({"name": NAME, "arguments": ARGUMENTS}, {})
MESSAGE = record(
    {"role": st.sampled_from(["system", "developer", "user", "assistant", "tool"])},
    {
        "content": st.one_of(TEXT, st.lists(PART, max_size=3)),
        "tool_calls": st.lists(record({"id": ID, "type": st.just("function"), "function": FUNCTION}, {}), max_size=2),
        "tool_call_id": ID,
        "reasoning_content": TEXT,
    },
)
TOOL = record({"type": st.just("function"), "function": record({"name": NAME}, {"parameters": SCHEMA})}, {})
CHOICE = record({"type": st.just("function"), "function": record({"name": NAME}, {})}, {})
COMMON = {
    "stream": st.booleans(),
    "stream_options": record({}, {"include_usage": st.booleans()}),
    "max_tokens": st.sampled_from([1, 3, 50, 10**9]),
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1),
    "top_k": st.integers(-1, 50),
    "min_p": st.floats(0, 1),
    "repetition_penalty": st.floats(0.01, 10),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "stop": st.one_of(TEXT, st.lists(TEXT, max_size=3)),
    "n": st.just(1),
    "logit_bias": st.just({}),
}
MODEL = st.sampled_from(["scripted", "scripted", "claude-x", "unknown"])
CHAT = record(
    {"model": MODEL, "messages": st.lists(MESSAGE, min_size=1, max_size=4)},
    {
        **COMMON,
        "tools": st.lists(TOOL, max_size=2),
        "tool_choice": st.one_of(
            st.sampled_from(["none", "auto", "required"]),
            CHOICE,
            record(
                {
                    "type": st.just("allowed_tools"),
                    "allowed_tools": record(
                        {"mode": st.sampled_from(["auto", "required"]), "tools": st.lists(CHOICE, max_size=2)}, {}
                    ),
                },
                {},
            ),
        ),
        "parallel_tool_calls": st.booleans(),
        "response_format": record(
            {"type": st.sampled_from(["text", "json_object", "json_schema"])},
            {"json_schema": record({"schema": SCHEMA}, {})},
        ),
        "reasoning_effort": st.sampled_from(["none", "low", "high"]),
    },
)
COMPLETION = record(
    {"model": MODEL, "prompt": st.one_of(TEXT, st.lists(TEXT, max_size=2))},
    {**COMMON, "echo": st.sampled_from([False]), "suffix": st.just("")},
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with scripted_server(tmp_path_factory.mktemp("script"), CALLS) as client:
        yield client


@settings(max_examples=3 * settings().max_examples, suppress_health_check=list(HealthCheck))
@given(body=CHAT)
def test_any_chat_gets_an_answer_or_an_error_in_the_right_format(client: httpx.Client, body: Any) -> None:
    expect_right_format(client.post("/v1/chat/completions", content=json.dumps(body).encode()), "chat.completion")


@settings(max_examples=2 * settings().max_examples, suppress_health_check=list(HealthCheck))
@given(body=COMPLETION)
def test_any_completion_gets_an_answer_or_an_error_in_the_right_format(client: httpx.Client, body: Any) -> None:
    expect_right_format(client.post("/v1/completions", content=json.dumps(body).encode()), "text_completion")


@settings(max_examples=settings().max_examples, suppress_health_check=list(HealthCheck))
@given(body=st.binary(max_size=40))
def test_any_bytes_get_an_error_in_the_right_format(client: httpx.Client, body: bytes) -> None:
    expect_error(client.post("/v1/chat/completions", content=body))


def expect_right_format(response: httpx.Response, kind: str) -> None:
    if response.status_code != 200:
        expect_error(response)
    elif response.headers["content-type"].startswith("text/event-stream"):
        lines = [line for line in response.text.splitlines() if line.startswith("data: ")]
        assert lines[-1] == "data: [DONE]"
        chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
        assert all(chunk["object"].startswith(kind) for chunk in chunks)
        reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks if chunk["choices"]]
        assert reasons[-1] in ("stop", "length", "tool_calls")
        assert not any(reasons[:-1])
    else:
        assert response.json()["object"] == kind
        assert response.json()["choices"][0]["finish_reason"] in ("stop", "length", "tool_calls")


def expect_error(response: httpx.Response) -> None:
    assert response.status_code in (400, 404), f"{response.status_code}: {response.text}"
    error = response.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"]
    assert "param" in error
