"""The model that wants to call calls, in its own family's way and held to the tool's schema, however it is asked to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts.values.generation import (
    GenerationEvent,
    GenerationFinished,
    TextGenerated,
    ThinkingGenerated,
    ToolArgumentsGenerated,
    ToolCallEnded,
    ToolCallStarted,
)
from contracts.values.vocabulary import (
    ChatMessage,
    GenerationRequest,
    Role,
    Sampling,
    StopReason,
    Thinking,
    ToolChoice,
    ToolMode,
)
from pensieve.models.prompts.chat_template import RenderedPrompt
from tests.dialects.outputs.cases import TOOLS
from tests.dialects.outputs.table import ONE_CALL, THOUGHT, TWO_CALLS, Output, outputs
from tests.dialects.real.families import Family, family
from tests.dialects.wanting.engine import engine_wanting, events_of, prompts_of
from tests.dialects.wanting.model import Answers

ALL = [pytest.param(family(each.name), each, id=each.name) for each in outputs()]
ONE = [(call.name, call.arguments) for call in ONE_CALL]
TWO = [(call.name, call.arguments) for call in TWO_CALLS]
CHOICES = {
    "auto": ToolChoice(ToolMode.AUTO),
    "any": ToolChoice(ToolMode.ANY),
    "the tool": ToolChoice(ToolMode.TOOL, "get_weather"),
    "another tool": ToolChoice(ToolMode.TOOL, "get_time"),
}
SCHEMAS = {tool.name: json.loads(tool.input_schema) for tool in TOOLS}


def asking(choice: ToolChoice, num_words: int = 0, **given: Any) -> GenerationRequest:
    """`num_words` more keep what is wanted after different prompts apart."""
    messages = (ChatMessage(Role.USER, "How is the weather in Paris?" + " please" * num_words),)
    return GenerationRequest(messages, 400, Sampling(temperature=0.0), tools=TOOLS, tool_choice=choice, **given)


SEVERAL = asking(CHOICES["auto"], 200)
ONLY_ONE = replace(SEVERAL, tool_choice=ToolChoice(ToolMode.ANY, parallel=False))
THINKING = asking(CHOICES["auto"], 500, thinking=Thinking(enabled=True, budget_tokens=100))


@pytest.mark.parametrize(("family", "output"), ALL)
def test_a_model_that_wants_to_call_calls(tmp_path: Path, family: Family, output: Output) -> None:
    requests = {name: asking(choice) for name, choice in CHOICES.items()}
    prompts = dict(
        zip(
            ("one", "several", "thinking"),
            prompts_of(tmp_path, family, requests["auto"], SEVERAL, THINKING),
            strict=True,
        )
    )
    said = {"one": output.one_call, "several": output.two_calls or output.one_call, "thinking": output.one_call}
    wanted = {len(prompt.token_ids): _thought(output, prompt, name) + said[name] for name, prompt in prompts.items()}
    requests |= {"several": SEVERAL, "only one": ONLY_ONE, "thinking": THINKING}
    answers = asyncio.run(_answers(tmp_path, family, wanted, requests))
    several = TWO if output.two_calls else ONE
    for name, calls in {"auto": ONE, "any": ONE, "the tool": ONE, "several": several, "only one": ONE}.items():
        assert (name, _calls(answers[name])) == (name, calls)
        assert (name, _text(answers[name])) == (name, "")
        assert (name, _stop_reason(answers[name])) == (name, StopReason.TOOL_USE)
    assert _calls(answers["thinking"]) == ONE
    assert _thinking(answers["thinking"]) == (THOUGHT if _thought(output, prompts["thinking"], "thinking") else "")
    ((called, arguments), *_) = _calls(answers["another tool"])
    assert called == "get_time"
    jsonschema.validate(arguments, SCHEMAS["get_time"])


async def _answers(
    folder: Path, family: Family, wanted: Answers, requests: Mapping[str, GenerationRequest]
) -> dict[str, list[GenerationEvent]]:
    async with engine_wanting(folder, family, wanted) as engine:
        return {name: await events_of(engine, request) for name, request in requests.items()}


def _thought(output: Output, prompt: RenderedPrompt, name: str) -> str:
    """What is thought before the call: only where that is asked for, or where the prompt begins a thought."""
    return output.thinks(is_open=prompt.starts_thinking) if prompt.starts_thinking or name == "thinking" else ""


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


def _thinking(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ThinkingGenerated)).strip()


def _stop_reason(events: list[GenerationEvent]) -> StopReason:
    assert isinstance(events[-1], GenerationFinished)
    return events[-1].stop_reason
