"""OpenAI's API over real sockets, with the official SDK and with plain HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from pensieve.engine.scripted.engine import WINDOW_TOKENS
from tests.support.running_server import scripted_server, with_quick_pings

SCRIPT = """
[[reply]]
when = "weather"
text = 'I look. <tool_call>{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}</tool_call>'
[[reply]]
when = "think"
text = "<think>Well.</think> Yes."
[[reply]]
when = "fail"
text = "a b c d"
fail_after_tokens = 2
[[reply]]
when = "slow"
prefill_seconds = 2
[[reply]]
when = "long"
text = "word "
repeat = 9000
[[reply]]
text = "Hello from the script."
"""
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@contextmanager
def sdk(folder: Path, **given: str) -> Iterator[openai.OpenAI]:
    with (
        scripted_server(folder, SCRIPT, **given) as server,
        openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="secret", max_retries=0) as client,
    ):
        yield client


def messages_for(text: str) -> Any:
    return [{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}]


def test_a_streamed_chat_equals_the_non_streaming_one(tmp_path: Path) -> None:
    with sdk(tmp_path) as client:
        whole = client.chat.completions.create(model="scripted", messages=messages_for("Hello"))
        chunks = list(
            client.chat.completions.create(
                model="scripted", messages=messages_for("Hello"), stream=True, stream_options={"include_usage": True}
            )
        )
    assert whole.choices[0].message.content == "Hello from the script."
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Hello from the script."
    )
    assert (
        [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1]
        == whole.choices[0].finish_reason
        == "stop"
    )
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert len({chunk.id for chunk in chunks}) == 1


def test_tool_calls_are_streamed(tmp_path: Path) -> None:
    with sdk(tmp_path) as client:
        whole = client.chat.completions.create(model="scripted", messages=messages_for("weather"), tools=[TOOL])
        with client.chat.completions.stream(model="scripted", messages=messages_for("weather"), tools=[TOOL]) as stream:
            streamed = stream.get_final_completion()
    for completion in (whole, streamed):
        choice = completion.choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content == "I look."
        assert choice.message.tool_calls is not None
        (call,) = choice.message.tool_calls
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == (
            "get_weather",
            {"city": "Paris", "days": 2},
        )


def test_a_conversation_continues_after_a_tool_call(tmp_path: Path) -> None:
    with sdk(tmp_path) as client:
        first = client.chat.completions.create(model="scripted", messages=messages_for("weather"), tools=[TOOL])
        message = first.choices[0].message
        assert message.tool_calls is not None
        result: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "sunny"}
        history: Any = [*messages_for("weather"), message.to_dict(), result]
        second = client.chat.completions.create(model="scripted", messages=history, tools=[TOOL])
    assert second.choices[0].message.content == "Hello from the script."
    assert second.usage is not None
    assert first.usage is not None
    assert second.usage.prompt_tokens > first.usage.prompt_tokens


def test_thinking_is_returned_only_with_an_effort(tmp_path: Path) -> None:
    with sdk(tmp_path) as client:
        shown = client.chat.completions.create(model="scripted", messages=messages_for("think"), reasoning_effort="low")
        hidden = client.chat.completions.create(model="scripted", messages=messages_for("think"))
    assert shown.choices[0].message.to_dict()["reasoning_content"] == "Well."
    assert "reasoning_content" not in hidden.choices[0].message.to_dict()
    assert shown.choices[0].message.content == hidden.choices[0].message.content == "Yes."


def test_max_tokens_and_stop_sequences_end_an_answer(tmp_path: Path) -> None:
    with sdk(tmp_path) as client:
        cut = client.chat.completions.create(model="scripted", messages=messages_for("x"), max_completion_tokens=2)
        stopped = client.chat.completions.create(model="scripted", messages=messages_for("x"), stop=" the")
    assert (cut.choices[0].finish_reason, cut.choices[0].message.content) == ("length", "Hello from")
    assert (stopped.choices[0].finish_reason, stopped.choices[0].message.content) == ("stop", "Hello from")


@pytest.mark.parametrize("limit", [{}, {"max_tokens": 2**31 - 1}])
def test_an_answer_may_use_what_the_prompt_leaves_of_the_window(tmp_path: Path, limit: dict[str, int]) -> None:
    with sdk(tmp_path) as client:
        chat = client.chat.completions.create(model="scripted", messages=messages_for("long"), **limit)  # type: ignore[call-overload]
        completion = client.completions.create(model="scripted", prompt="long", **limit)  # type: ignore[call-overload]
    for answer in (chat, completion):
        assert answer.choices[0].finish_reason == "length"
        assert answer.usage.total_tokens == WINDOW_TOKENS


def test_a_streamed_completion_equals_the_non_streaming_one(tmp_path: Path) -> None:
    with sdk(tmp_path) as client:
        whole = client.completions.create(model="scripted", prompt="Once upon", max_tokens=64)
        chunks = list(client.completions.create(model="scripted", prompt="Once upon", max_tokens=64, stream=True))
    assert whole.choices[0].text == "".join(chunk.choices[0].text for chunk in chunks) == "Hello from the script."


def test_the_sdk_reads_the_list_of_models(tmp_path: Path) -> None:
    with sdk(tmp_path) as client:
        (model,) = client.models.list()
        assert (model.id, model.object, model.owned_by) == ("scripted", "model", "pensieve")
        assert client.models.retrieve("scripted").created > 0


def test_errors_become_exceptions_of_the_sdk(tmp_path: Path) -> None:
    with sdk(tmp_path, api_key="another") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="scripted", messages=messages_for("x"))
    with sdk(tmp_path) as client:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="gpt-5", messages=messages_for("x"))
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="scripted", messages=messages_for("x"), temperature=3)
        assert caught.value.param == "temperature"
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="scripted", messages=messages_for("fail"))


def test_a_failure_during_a_stream_ends_it_with_one_error(tmp_path: Path) -> None:
    with scripted_server(tmp_path, SCRIPT) as server:
        body = {"model": "scripted", "messages": messages_for("fail"), "stream": True}
        lines = [line for line in server.post("/v1/chat/completions", json=body).text.splitlines() if line]
    assert "error" in json.loads(lines[-1].removeprefix("data: "))
    assert "data: [DONE]" not in lines


def test_comments_fill_silences_and_done_ends_the_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_quick_pings(monkeypatch)
    with scripted_server(tmp_path, SCRIPT) as server:
        body = {"model": "scripted", "messages": messages_for("slow"), "stream": True}
        lines = [line for line in server.post("/v1/chat/completions", json=body).text.splitlines() if line]
    assert ": keepalive" in lines
    assert lines[-1] == "data: [DONE]"


CHAT = {"model": "scripted", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("chat/completions", {"messages": []}, "messages"),
        ("chat/completions", {"messages": [{"role": "user", "content": ""}]}, "messages.0.content"),
        ("chat/completions", {"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ("chat/completions", {"messages": [{"role": "tool", "content": "x"}]}, "messages.0.tool_call_id"),
        (
            "chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages.0.content.0",
        ),
        (
            "chat/completions",
            {
                "messages": [
                    {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": [1]}}]}
                ]
            },
            "messages.0.tool_calls.0.function.arguments",
        ),
        ("chat/completions", {"n": 2}, "n"),
        ("chat/completions", {"logprobs": True}, "logprobs"),
        ("chat/completions", {"stop": ["a"] * 5}, "stop"),
        ("chat/completions", {"tool_choice": "required"}, "tool_choice"),
        ("chat/completions", {"tools": [TOOL, TOOL]}, "tools.1.function.name"),
        (
            "chat/completions",
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "nope"}}},
            "tool_choice.function.name",
        ),
        ("chat/completions", {"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ("chat/completions", {"max_tokens": 0}, "max_tokens"),
        ("completions", {"prompt": ""}, "prompt"),
        ("completions", {"prompt": ["a", "b"]}, "prompt"),
        ("completions", {"prompt": "x", "echo": True}, "echo"),
    ],
)
def test_an_error_names_the_field(client: httpx.Client, path: str, fields: dict[str, object], param: str) -> None:
    response = client.post(f"/v1/{path}", json={**CHAT, **fields})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert response.headers["x-request-id"] == response.headers["request-id"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with scripted_server(tmp_path_factory.mktemp("script"), SCRIPT) as client:
        yield client
