"""A script forced through the real engine, on a tiny model of random weights."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import mlx.core as mx
import pytest

from contracts.checked import checked
from contracts.protocols.inference import InferenceModel
from contracts.values.generation import (
    GenerationEvent,
    GenerationFinished,
    TextGenerated,
    ToolArgumentsGenerated,
    ToolCallStarted,
)
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling, StopReason, Tool
from pensieve.core.errors import ModelLoadingError
from pensieve.engine.decoding.forced_script import ForcedReply
from pensieve.engine.engine import Engine
from pensieve.engine.options import EngineOptions
from pensieve.engine.scripted.script import Script, ScriptedReply
from pensieve.models.files.model_folder import ModelFolder
from tests.support.engines import parts_of, start_engine
from tests.support.sdk_client import serving

ODD = "Naïve café — 日本語, 👩‍👩‍👧 and  two spaces,\n\ttabs, \u200b, <|not a token|> ∀x∈ℝ "
READ = Tool("Read", "Read a file", '{"type": "object", "properties": {"file_path": {"type": "string"}}}')
TWO_CALLS = "".join(
    f'<tool_call>\n{{"name": "Read", "arguments": {{"file_path": "{path}"}}}}\n</tool_call>\n'
    for path in ("/a b", "/é")
)


@asynccontextmanager
async def forced(folder: ModelFolder, *replies: ScriptedReply) -> AsyncIterator[Engine]:
    engine = await start_engine(folder, EngineOptions(script=Script(replies)))
    try:
        yield engine
    finally:
        await engine.aclose()


async def events_of(engine: Engine, request: GenerationRequest) -> list[GenerationEvent]:
    async with aclosing(checked(InferenceModel, engine).generate(request)) as events:
        return [event async for event in events]


def user_request(text: str, max_tokens: int = 200, **given: object) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, text),), max_tokens, **given)  # type: ignore[arg-type]  # per test


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextGenerated))


def finish_of(events: list[GenerationEvent]) -> GenerationFinished:
    assert isinstance(events[-1], GenerationFinished)
    return events[-1]


@pytest.mark.parametrize("temperature", [0.0, 2.0])
def test_the_script_is_generated_exactly_and_ends_the_turn(tiny_folder: ModelFolder, temperature: float) -> None:
    async def play() -> None:
        async with forced(tiny_folder, ScriptedReply(text=ODD, repeat=2)) as engine:
            sampling = Sampling(temperature, top_p=0.5, top_k=3)
            events = await events_of(engine, user_request("Hello", sampling=sampling))
            assert text_of(events) == ODD * 2
            assert finish_of(events).stop_reason is StopReason.END_TURN

    asyncio.run(play())


def test_usage_counts_the_models_own_tokens(tiny_folder: ModelFolder) -> None:
    async def play() -> None:
        async with forced(tiny_folder, ScriptedReply(text=ODD)) as engine:
            request = user_request("Hello")
            usage = finish_of(await events_of(engine, request)).usage
            assert usage.input_tokens == await engine.count_tokens(request.prompt)
            expected = parts_of(engine).model.tokenizer.backend_tokenizer.encode(ODD, add_special_tokens=False).ids
            assert usage.output_tokens == len(expected) + 1  # the end of the turn
            cut = finish_of(await events_of(engine, user_request("Hello", max_tokens=5)))
            assert (cut.stop_reason, cut.usage.output_tokens) == (StopReason.MAX_TOKENS, 5)

    asyncio.run(play())


def test_scripted_calls_become_tool_calls_whatever_the_schema(tiny_folder: ModelFolder) -> None:
    async def play() -> None:
        async with forced(tiny_folder, ScriptedReply(text="Well.\n" + TWO_CALLS)) as engine:
            events = await events_of(engine, user_request("Hello", tools=(READ,)))
            arguments = [event.json for event in events if isinstance(event, ToolArgumentsGenerated)]
            assert [event.name for event in events if isinstance(event, ToolCallStarted)] == ["Read", "Read"]
            assert "".join(arguments) == '{"file_path": "/a b"}{"file_path": "/é"}'
            assert finish_of(events).stop_reason is StopReason.TOOL_USE
            constrained = await events_of(engine, user_request("Hello", output_schema='{"type": "integer"}'))
            assert text_of(constrained).startswith("Well.")  # no grammar constrains a script

    asyncio.run(play())


def test_concurrent_requests_each_get_their_own_reply(tiny_folder: ModelFolder) -> None:
    replies = [ScriptedReply(when=f"number {n}.", text=f"{n} " * (n + 1)) for n in range(8)]

    async def play() -> None:
        async with forced(tiny_folder, *replies) as engine:
            requests = [user_request(f"This is number {n}.") for n in range(8)]
            answers = await asyncio.gather(*(events_of(engine, request) for request in requests))
            assert [text_of(events) for events in answers] == [reply.text for reply in replies]
            assert text_of(await events_of(engine, user_request("none of them"))) == ScriptedReply().text

    asyncio.run(play())


def test_a_pace_or_a_fault_is_refused_when_the_model_is_loaded(tiny_folder: ModelFolder, tmp_path: Path) -> None:
    async def play() -> None:
        with pytest.raises(ModelLoadingError, match="seconds_per_token and fail_after_tokens"):
            async with forced(tiny_folder, ScriptedReply(seconds_per_token=1.0, fail_after_tokens=3)):
                raise AssertionError("it started")

    asyncio.run(play())


def test_after_its_end_a_reply_keeps_forcing_the_end_of_the_turn() -> None:
    reply = ForcedReply([3, 1])
    allowed = [mx.argmax(reply(mx.array([0]), mx.zeros((1, 5)))).item() for _ in range(4)]
    assert allowed == [3, 1, 1, 1]


def test_serve_forces_a_script_given_together_with_a_model(tiny_folder: ModelFolder, tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text('[[reply]]\nwhen = "Hello"\ntext = "From the script."\n', encoding="utf-8")
    with serving("--model", str(tiny_folder.path), "--script", str(script)) as client:
        message = client.messages.create(
            model=tiny_folder.id, max_tokens=50, messages=[{"role": "user", "content": "Hello."}]
        )
    assert [block.type == "text" and block.text for block in message.content] == ["From the script."]
    assert message.usage.input_tokens > 10  # counted by the model's tokenizer, in the model's template
