"""Five families with their own real tokenizers, over HTTP and through the official SDK, which checks every field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anthropic
import pytest

from tests.dialects.outputs.cases import TOOLS
from tests.dialects.outputs.table import THOUGHT, Output, output
from tests.dialects.outputs.writers import Call
from tests.dialects.real.families import Family, family
from tests.dialects.wanting.model import write_wanting_model
from tests.support.sdk_client import serving

FAMILIES = ["qwen3", "gpt-oss", "deepseek-v3.1", "gemma-3", "llama-3.1"]
SAID = 'It is "warm" in Paris: 21 °C 🙂.'
WEATHER = Call("get_weather", {"city": "Paris", "days": 3})
TIME = Call("get_time", {"zone": "Europe/Paris"})
API_TOOLS: list[Any] = [
    {"name": tool.name, "description": tool.description, "input_schema": json.loads(tool.input_schema)}
    for tool in TOOLS[:2]
]
Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A turn of a conversation: what the client says after the answer before it, and what the model wants to say."""

    said: str
    content: Callable[[anthropic.types.Message | None], Any]


def long(text: str, num_tokens: int) -> str:
    """The text made longer by some tokens, so that the model's answers to different prompts are well apart."""
    return text + " please" * num_tokens


def asking(text: str, **given: Any) -> Request:
    return {"model": "claude-any", "max_tokens": 1500, "messages": [{"role": "user", "content": text}], **given}


def single_turns(output: Output) -> dict[str, tuple[Request, str]]:
    """By what they show: what is asked, and what the model wants to say."""
    turns = {
        "text": (asking("How is the weather?"), output.says(SAID)),
        "one call": (asking("How is the weather in Paris?", tools=API_TOOLS), output.calls(WEATHER)),
    }
    if output.two_calls:
        asked = asking(long("What are the weather and the time in Paris?", 150), tools=API_TOOLS)
        turns["two calls"] = (asked, output.calls(WEATHER, TIME))
    if output.thinking:
        thinking = {"type": "enabled", "budget_tokens": 1024}
        asked = asking(long("Think: how is the weather?", 700), thinking=thinking)
        turns["thinking"] = (asked, output.thinking + output.says(SAID))
    return turns


def conversation(output: Output) -> list[Step]:
    return [
        Step(output.calls(WEATHER), lambda _: long("How is the weather in Paris?", 1000)),
        Step(output.says("It is warm."), lambda last: [_result(last, "21 degrees"), _text("In one sentence, please.")]),
        Step(output.calls(TIME), lambda _: "And what time is it there?"),
        Step(output.says("I cannot tell."), lambda last: [_result(last, "no such zone", is_error=True)]),
    ]


def _text(text: str) -> Any:
    return {"type": "text", "text": text}


def _result(last: anthropic.types.Message | None, text: str, *, is_error: bool = False) -> Any:
    assert last is not None
    (call,) = [block for block in last.content if block.type == "tool_use"]
    return {"type": "tool_result", "tool_use_id": call.id, "content": text, "is_error": is_error}


def length_of(client: anthropic.Anthropic, request: Request) -> int:
    counted = {key: value for key, value in request.items() if key != "max_tokens"}
    return client.messages.count_tokens(**counted).input_tokens


@dataclass(frozen=True, slots=True)
class Talk:
    """A server whose model wants all the answers, and the conversation that was led with it."""

    client: anthropic.Anthropic
    output: Output
    answers: list[anthropic.types.Message]


def _lead(client: anthropic.Anthropic, steps: list[Step]) -> tuple[list[anthropic.types.Message], list[Any]]:
    """The answers to these steps, and the messages of the conversation."""
    messages: list[Any] = []
    answers: list[anthropic.types.Message] = []
    for step in steps:
        messages.append({"role": "user", "content": step.content(answers[-1] if answers else None)})
        answers.append(client.messages.create(**asking("", tools=API_TOOLS) | {"messages": messages}))
        messages.append({"role": "assistant", "content": [block.to_dict() for block in answers[-1].content]})
    return answers, messages


@contextmanager
def talking(folder: Path, family: Family, output: Output) -> Iterator[Talk]:
    """The length of a later prompt is known when the answers before it are there, so the server starts once a turn."""
    singles, steps = single_turns(output).values(), conversation(output)
    answers: dict[int, str] = {}
    for number in range(len(steps)):
        write_wanting_model(folder, family, answers)
        with serving("--model", str(folder)) as client:
            if not number:
                answers |= {length_of(client, request): said for request, said in singles}
            led, messages = _lead(client, steps[:number])
            next_turn = {"role": "user", "content": steps[number].content(led[-1] if led else None)}
            request = asking("", tools=API_TOOLS) | {"messages": [*messages, next_turn]}
            answers[length_of(client, request)] = steps[number].said
    write_wanting_model(folder, family, answers)
    with serving("--model", str(folder)) as client:
        led, _ = _lead(client, steps)
        yield Talk(client, output, led)


@pytest.fixture(scope="module")
def talk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    with talking(tmp_path_factory.mktemp("models"), family(request.param), output(request.param)) as talk:
        yield talk


def blocks_of(message: anthropic.types.Message) -> list[tuple[Any, ...]]:
    blocks: list[tuple[Any, ...]] = []
    for block in message.content:
        match block.type:
            case "text":
                blocks.append(("text", block.text))
            case "thinking":
                blocks.append(("thinking", block.thinking.strip()))
            case "tool_use":
                blocks.append(("call", block.name, block.input))
    return blocks


def _call(call: Call) -> tuple[str, str, Any]:
    return ("call", call.name, call.arguments)


CONVERSATION = "a conversation of four turns"
EXPECTED: dict[str, list[tuple[str, list[tuple[Any, ...]]]]] = {
    "text": [("end_turn", [("text", SAID)])],
    "thinking": [("end_turn", [("thinking", THOUGHT), ("text", SAID)])],
    "one call": [("tool_use", [_call(WEATHER)])],
    "two calls": [("tool_use", [_call(WEATHER), _call(TIME)])],
    CONVERSATION: [
        ("tool_use", [_call(WEATHER)]),
        ("end_turn", [("text", "It is warm.")]),
        ("tool_use", [_call(TIME)]),
        ("end_turn", [("text", "I cannot tell.")]),
    ],
}
SHOWN = [(name, shows) for name in FAMILIES for shows in (*single_turns(output(name)), CONVERSATION)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("talk", "shows"), SHOWN, indirect=["talk"])
def test_a_family_is_served_as_its_model_means_it(talk: Talk, shows: str) -> None:
    answers = talk.answers if shows == CONVERSATION else _whole_and_streamed(talk, shows)
    assert [(str(answer.stop_reason), blocks_of(answer)) for answer in answers] == EXPECTED[shows]


def _whole_and_streamed(talk: Talk, shows: str) -> list[anthropic.types.Message]:
    """The answer, after it was compared with the same one streamed."""
    asked, _ = single_turns(talk.output)[shows]
    message = talk.client.messages.create(**asked)
    with talk.client.messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    assert (streamed.stop_reason, blocks_of(streamed)) == (message.stop_reason, blocks_of(message))
    assert streamed.usage.output_tokens == message.usage.output_tokens
    return [message]
