"""The model that wants to call calls, in its own family's way and held to the tool's schema, however it is asked to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import jsonschema
import pytest

from contracts.generation import (
    GenerationEvent,
    GenerationFinished,
    TextGenerated,
    ToolArgumentsGenerated,
    ToolCallEnded,
    ToolCallStarted,
)
from contracts.vocabulary import ChatMessage, GenerationRequest, Role, Sampling, StopReason, ToolChoice, ToolMode
from tests.dialects.families import Family, family
from tests.dialects.output_cases import TOOLS
from tests.dialects.outputs import Output, outputs
from tests.dialects.wanting_engine import engine_wanting, events_of, prompts_of

ALL = [pytest.param(family(each.name), each, id=each.name) for each in outputs()]
WANTED = ("get_weather", {"city": "Paris", "days": 3})
CHOICES = {
    "auto": ToolChoice(ToolMode.AUTO),
    "any": ToolChoice(ToolMode.ANY),
    "the tool": ToolChoice(ToolMode.TOOL, "get_weather"),
    "another tool": ToolChoice(ToolMode.TOOL, "get_time"),
}
SCHEMAS = {tool.name: json.loads(tool.input_schema) for tool in TOOLS}


def asking(choice: ToolChoice) -> GenerationRequest:
    messages = (ChatMessage(Role.USER, "How is the weather in Paris?"),)
    return GenerationRequest(messages, 300, Sampling(temperature=0.0), tools=TOOLS, tool_choice=choice)


@pytest.mark.parametrize(("family", "output"), ALL)
def test_a_model_that_wants_to_call_calls(tmp_path: Path, family: Family, output: Output) -> None:
    async def play() -> dict[str, list[GenerationEvent]]:
        (prompt,) = prompts_of(tmp_path, family, asking(CHOICES["auto"]))
        thinking = output.thinking if prompt.starts_thinking else ""
        async with engine_wanting(tmp_path, family, {len(prompt.token_ids): thinking + output.one_call}) as engine:
            return {name: await events_of(engine, asking(choice)) for name, choice in CHOICES.items()}

    answers = asyncio.run(play())
    for name in ("auto", "any", "the tool"):
        assert (name, _calls(answers[name])) == (name, [WANTED])
        assert (name, _text(answers[name])) == (name, "")
        assert (name, _stop_reason(answers[name])) == (name, StopReason.TOOL_USE)
    ((called, arguments), *_) = _calls(answers["another tool"])
    assert called == "get_time"
    jsonschema.validate(arguments, SCHEMAS["get_time"])


def _calls(events: list[GenerationEvent]) -> list[tuple[str, object]]:
    """The calls that came to their end."""
    calls, name, text = [], "", ""
    for event in events:
        match event:
            case ToolCallStarted():
                name, text = event.name, ""
            case ToolArgumentsGenerated():
                text += event.json
            case ToolCallEnded():
                calls.append((name, json.loads(text)))
    return calls


def _text(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextGenerated)).strip()


def _stop_reason(events: list[GenerationEvent]) -> StopReason:
    assert isinstance(events[-1], GenerationFinished)
    return events[-1].stop_reason
