"""The rigged model gives its answers exactly, and gives way to a grammar."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from contracts.values.generation import (
    GenerationEvent,
    GenerationFinished,
    TextGenerated,
    ToolArgumentsGenerated,
    ToolCallStarted,
)
from contracts.values.vocabulary import (
    ChatMessage,
    GenerationRequest,
    Role,
    Sampling,
    StopReason,
    Tool,
    ToolChoice,
    ToolMode,
)
from tests.dialects.real.families import family
from tests.dialects.rigged.engine import events_of, prompts_of, rigged_engine
from tests.dialects.rigged.model import write_rigged_model

TEXT = 'It is warm: "21 °C", added Noël. 🦙 ha ha ha\n\n\tx = [1, 2]  # end'
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", "The weather of a city", json.dumps(SCHEMA))


def request_for(text: str, **given: object) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, text),), 120, **given)  # type: ignore[arg-type]  # as each test needs


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextGenerated))


@pytest.mark.parametrize("name", ["qwen3", "gemma-3", "phi-3.5"])
def test_it_gives_its_exact_answer_at_every_temperature(tmp_path: Path, name: str) -> None:
    request = request_for("Hello")

    async def play() -> None:
        (prompt,) = prompts_of(family(name), request)
        async with rigged_engine(tmp_path, family(name), {len(prompt.token_ids): TEXT}) as engine:
            for temperature in (0.0, 1.0, 1.0, 1.0):
                events = await events_of(engine, request_for("Hello", sampling=Sampling(temperature)))
                assert text_of(events) == TEXT
                assert isinstance(events[-1], GenerationFinished)
                assert events[-1].stop_reason is StopReason.END_TURN

    asyncio.run(play())


def test_it_answers_by_the_length_of_the_prompt_and_ends_other_turns_at_once(tmp_path: Path) -> None:
    requests = [request_for("Hello"), request_for("Hello " * 100), request_for("Hello " * 200)]

    async def play() -> None:
        first, second, _ = (len(prompt.token_ids) for prompt in prompts_of(family("phi-3.5"), *requests))
        async with rigged_engine(tmp_path, family("phi-3.5"), {first: "One.", second: "Two."}) as engine:
            assert [text_of(await events_of(engine, request)) for request in requests] == ["One.", "Two.", ""]

    asyncio.run(play())


def test_a_grammar_overrides_its_answer_and_the_turn_still_ends(tmp_path: Path) -> None:
    """It would write text but has to call a tool, so the mask is at work: a scripted engine would bypass it."""
    forced = request_for("Hello", tools=(WEATHER,), tool_choice=ToolChoice(ToolMode.TOOL, "get_weather"))

    async def play() -> list[GenerationEvent]:
        (prompt,) = prompts_of(family("phi-3.5"), forced)
        answers = {len(prompt.token_ids): "It is warm in Paris."}
        async with rigged_engine(tmp_path, family("phi-3.5"), answers) as engine:
            return await events_of(engine, forced)

    events = asyncio.run(play())
    assert [event.name for event in events if isinstance(event, ToolCallStarted)] == ["get_weather"]
    arguments = "".join(event.json for event in events if isinstance(event, ToolArgumentsGenerated))
    assert isinstance(json.loads(arguments)["city"], str)
    assert text_of(events) == ""


def test_answers_that_overlap_or_exceed_the_window_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="overlaps another one at 10"):
        write_rigged_model(tmp_path, family("qwen3"), {10: "one two three", 11: "four"})
    with pytest.raises(ValueError, match="beyond the window of 16 tokens"):
        write_rigged_model(tmp_path, family("qwen3"), {16: "one two"}, window_tokens=16)
