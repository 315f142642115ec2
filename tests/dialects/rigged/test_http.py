"""Five families with their whole real tokenizers, over HTTP and through the official SDK, which checks every field."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import anthropic
import pytest

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role
from pensieve.api.anthropic.decode import decode_messages
from tests.dialects.outputs.cases import TOOLS
from tests.dialects.outputs.table import THOUGHT, Output, output
from tests.dialects.outputs.writers import Call
from tests.dialects.real.families import Family, family
from tests.dialects.real.rendering import chat_template
from tests.dialects.real.tokenizers import tokenizer_of
from tests.dialects.rigged.model import write_rigged_model
from tests.support.sdk_client import serving

FAMILIES = ["qwen3", "gpt-oss", "deepseek-v3.1", "gemma-3", "llama-3.1"]
TEXT = 'It is "warm" in Paris: 21 °C 🙂.'
WEATHER = Call("get_weather", {"city": "Paris", "days": 3})
TIME = Call("get_time", {"zone": "Europe/Paris"})
API_TOOLS: list[Any] = [
    {"name": tool.name, "description": tool.description, "input_schema": json.loads(tool.input_schema)}
    for tool in TOOLS[:2]
]
Request = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A turn of a conversation: the model's text, and the user's content, given the id of the call before it."""

    answer: str
    content: Callable[[str], Any]


def long(text: str, num_tokens: int) -> str:
    """The text with filler words, which keep the answers to different prompts apart."""
    return text + " please" * num_tokens


def body(text: str, **given: Any) -> Request:
    return {"model": "claude-any", "max_tokens": 1500, "messages": [{"role": "user", "content": text}], **given}


def single_turns(output: Output) -> dict[str, tuple[Request, str]]:
    """A request for each thing to show, and the model's text."""
    turns = {
        "text": (body("How is the weather?"), output.says(TEXT)),
        "one call": (body("How is the weather in Paris?", tools=API_TOOLS), output.calls(WEATHER)),
    }
    if output.two_calls:
        request = body(long("What are the weather and the time in Paris?", 150), tools=API_TOOLS)
        turns["two calls"] = (request, output.calls(WEATHER, TIME))
    if output.thinking:
        thinking = {"type": "enabled", "budget_tokens": 1024}
        request = body(long("Think: how is the weather?", 700), thinking=thinking)
        turns["thinking"] = (request, output.thinking + output.says(TEXT))
    return turns


def conversation(output: Output) -> list[Step]:
    return [
        Step(output.calls(WEATHER), lambda _: long("How is the weather in Paris?", 1000)),
        Step(output.says("It is warm."), lambda call: [_result(call, "21 degrees"), _text("In one sentence, please.")]),
        Step(output.calls(TIME), lambda _: "And what time is it there?"),
        Step(output.says("I cannot tell."), lambda call: [_result(call, "no such zone", is_error=True)]),
    ]


def _text(text: str) -> Any:
    return {"type": "text", "text": text}


def _result(call_id: str, text: str, *, is_error: bool = False) -> Any:
    return {"type": "tool_result", "tool_use_id": call_id, "content": text, "is_error": is_error}


def answers_by_length(family: Family, output: Output) -> dict[int, str]:
    """The model's text after a prompt of each length. Earlier answers of a conversation count as their own tokens."""
    generated: dict[ChatMessage, list[int]] = {}
    template = chat_template(family, lambda message, _: generated.get(message))

    def length(request: GenerationRequest) -> int:
        return len(template.render(request.messages, request.tools, request.thinking).token_ids)

    answers = {length(_decoded(request)): text for request, text in single_turns(output).values()}
    steps = conversation(output)
    messages: list[Any] = []
    for number, (step, (_, blocks)) in enumerate(zip(steps, EXPECTED[CONVERSATION], strict=True)):
        messages.append({"role": "user", "content": step.content(f"toolu_{number - 1:021}")})
        request = _decoded(body("", tools=API_TOOLS, messages=messages))
        earlier = [message for message in request.messages if message.role is Role.ASSISTANT]
        generated |= zip(earlier, (_token_ids(family, step.answer) for step in steps[:number]), strict=True)
        answers[length(request)] = step.answer
        messages.append({"role": "assistant", "content": [_as_block(block, number) for block in blocks]})
    return answers


def _decoded(request: Request) -> GenerationRequest:
    return decode_messages(json.dumps(request).encode()).generation


def _token_ids(family: Family, answer: str) -> list[int]:
    """Without the token that ends the answer."""
    tokenizer = tokenizer_of(family)
    ids = tokenizer.encode(answer, add_special_tokens=False).ids
    return list(takewhile(lambda token_id: tokenizer.id_to_token(token_id) not in family.eos, ids))


def _as_block(block: tuple[Any, ...], number: int) -> Any:
    if block[0] == "text":
        return _text(block[1])
    return {"type": "tool_use", "id": f"toolu_{number:021}", "name": block[1], "input": block[2]}


@dataclass(frozen=True, slots=True)
class Talk:
    """A server with the rigged model, and its answers in the conversation."""

    client: anthropic.Anthropic
    output: Output
    answers: list[anthropic.types.Message]


def _converse(client: anthropic.Anthropic, steps: list[Step]) -> list[anthropic.types.Message]:
    messages: list[Any] = []
    answers: list[anthropic.types.Message] = []
    call_id = ""
    for step in steps:
        messages.append({"role": "user", "content": step.content(call_id)})
        answers.append(client.messages.create(**body("", tools=API_TOOLS, messages=messages)))
        call_id = next((block.id for block in answers[-1].content if block.type == "tool_use"), "")
        messages.append({"role": "assistant", "content": [block.to_dict() for block in answers[-1].content]})
    return answers


@contextmanager
def conversing(folder: Path, family: Family, output: Output) -> Iterator[Talk]:
    write_rigged_model(folder, family, answers_by_length(family, output), needs_transformers=False)
    with serving("--model", str(folder)) as client:
        yield Talk(client, output, _converse(client, conversation(output)))


@pytest.fixture(scope="module")
def talk_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Talk]]:
    """One server at a time, which stays open while tests of the same family follow each other."""
    current: dict[str, Talk] = {}
    with ExitStack() as servers:

        def talk(name: str) -> Talk:
            if name not in current:
                current.clear()
                servers.close()
                folder = tmp_path_factory.mktemp("models")
                current[name] = servers.enter_context(conversing(folder, family(name), output(name)))
            return current[name]

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
    "text": [("end_turn", [("text", TEXT)])],
    "thinking": [("end_turn", [("thinking", THOUGHT), ("text", TEXT)])],
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
@pytest.mark.parametrize(("name", "shows"), SHOWN)
def test_a_familys_answers_become_the_blocks_they_mean(talk_of: Callable[[str], Talk], name: str, shows: str) -> None:
    talk = talk_of(name)
    answers = talk.answers if shows == CONVERSATION else _whole_and_streamed(talk, shows)
    assert [(str(answer.stop_reason), blocks_of(answer)) for answer in answers] == EXPECTED[shows]


def _whole_and_streamed(talk: Talk, shows: str) -> list[anthropic.types.Message]:
    """The answer, which is the same when streamed."""
    request, _ = single_turns(talk.output)[shows]
    message = talk.client.messages.create(**request)
    with talk.client.messages.stream(**request) as stream:
        streamed = stream.get_final_message()
    assert (streamed.stop_reason, blocks_of(streamed)) == (message.stop_reason, blocks_of(message))
    assert streamed.usage.output_tokens == message.usage.output_tokens
    return [message]
