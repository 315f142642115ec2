"""The wanting model itself: it says its text to the letter, and gives way where it is not free to."""

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

SAID = 'It is warm: "21 °C", said Noël. 🦙 ha ha ha\n\n\tx = [1, 2]  # end'
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", "The weather of a city", json.dumps(SCHEMA))


def asking(text: str, **given: object) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, text),), 120, **given)  # type: ignore[arg-type]  # as each test needs


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextGenerated))


@pytest.mark.parametrize("name", ["qwen3", "gemma-3", "phi-3.5"])
def test_it_says_its_text_to_the_letter_and_ends_at_every_temperature(tmp_path: Path, name: str) -> None:
    request = asking("Hello")

    async def play() -> None:
        (prompt,) = prompts_of(family(name), request)
        async with rigged_engine(tmp_path, family(name), {len(prompt.token_ids): SAID}) as engine:
            for temperature in (0.0, 1.0, 1.0, 1.0):
                events = await events_of(engine, asking("Hello", sampling=Sampling(temperature)))
                assert text_of(events) == SAID
                assert isinstance(events[-1], GenerationFinished)
                assert events[-1].stop_reason is StopReason.END_TURN

    asyncio.run(play())


def test_it_has_an_answer_for_each_length_and_nothing_to_say_to_other_prompts(tmp_path: Path) -> None:
    requests = [asking("Hello"), asking("Hello " * 100), asking("Hello " * 200)]

    async def play() -> None:
        first, second, _ = (len(prompt.token_ids) for prompt in prompts_of(family("phi-3.5"), *requests))
        async with rigged_engine(tmp_path, family("phi-3.5"), {first: "One.", second: "Two."}) as engine:
            assert [text_of(await events_of(engine, request)) for request in requests] == ["One.", "Two.", ""]

    asyncio.run(play())


def test_a_grammar_makes_it_deviate_and_come_to_an_end(tmp_path: Path) -> None:
    """It wants to say text, and has to call: the mask is at work, which a forced script would have passed by."""
    forced = asking("Hello", tools=(WEATHER,), tool_choice=ToolChoice(ToolMode.TOOL, "get_weather"))

    async def play() -> list[GenerationEvent]:
        (prompt,) = prompts_of(family("phi-3.5"), forced)
        said = {len(prompt.token_ids): "It is warm in Paris."}
        async with rigged_engine(tmp_path, family("phi-3.5"), said) as engine:
            return await events_of(engine, forced)

    events = asyncio.run(play())
    assert [event.name for event in events if isinstance(event, ToolCallStarted)] == ["get_weather"]
    arguments = "".join(event.json for event in events if isinstance(event, ToolArgumentsGenerated))
    assert isinstance(json.loads(arguments)["city"], str)
    assert text_of(events) == ""


def test_answers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="begins inside of another one, at 10"):
        write_rigged_model(tmp_path, family("qwen3"), {10: "one two three", 11: "four"})
    with pytest.raises(ValueError, match="beyond the window of 16 tokens"):
        write_rigged_model(tmp_path, family("qwen3"), {16: "one two"}, window_tokens=16)
