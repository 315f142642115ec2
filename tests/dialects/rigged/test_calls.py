"""A model that writes calls in its family's dialect calls the tools, under every tool choice.

The families have the commonest tokens of their vocabularies, which load in a tenth of the time; test_http has them all.
"""

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
from tests.dialects.rigged.engine import events_of, prompts_of, rigged_engine
from tests.dialects.rigged.model import Answers

ALL = [pytest.param(family(each.name).with_small_vocabulary(), each, id=each.name) for each in outputs()]
ONE = [(call.name, call.arguments) for call in ONE_CALL]
TWO = [(call.name, call.arguments) for call in TWO_CALLS]
CHOICES = {
    "auto": ToolChoice(ToolMode.AUTO),
    "any": ToolChoice(ToolMode.ANY),
    "the tool": ToolChoice(ToolMode.TOOL, "get_weather"),
    "another tool": ToolChoice(ToolMode.TOOL, "get_time"),
}
SCHEMAS = {tool.name: json.loads(tool.input_schema) for tool in TOOLS}


def request_for(choice: ToolChoice, num_words: int = 0, **given: Any) -> GenerationRequest:
    """`num_words` filler words keep the answers to different prompts apart."""
    messages = (ChatMessage(Role.USER, "How is the weather in Paris?" + " please" * num_words),)
    return GenerationRequest(messages, 400, Sampling(temperature=0.0), tools=TOOLS, tool_choice=choice, **given)


SEVERAL = request_for(CHOICES["auto"], 200)
ONLY_ONE = replace(SEVERAL, tool_choice=ToolChoice(ToolMode.ANY, parallel=False))
THINKING = request_for(CHOICES["auto"], 500, thinking=Thinking(enabled=True, budget_tokens=100))


@pytest.mark.parametrize(("family", "output"), ALL)
def test_a_model_that_writes_a_call_calls_the_tool(tmp_path: Path, family: Family, output: Output) -> None:
    requests = {name: request_for(choice) for name, choice in CHOICES.items()}
    prompts = dict(
        zip(
            ("one", "several", "thinking"),
            prompts_of(family, requests["auto"], SEVERAL, THINKING),
            strict=True,
        )
    )
    calls = {"one": output.one_call, "several": output.two_calls or output.one_call, "thinking": output.one_call}
    answers = {len(prompt.token_ids): _thought(output, prompt, name) + calls[name] for name, prompt in prompts.items()}
    requests |= {"several": SEVERAL, "only one": ONLY_ONE, "thinking": THINKING}
    events = asyncio.run(_events(tmp_path, family, answers, requests))
    several = TWO if output.two_calls else ONE
    for name, expected in {"auto": ONE, "any": ONE, "the tool": ONE, "several": several, "only one": ONE}.items():
        assert (name, _calls(events[name])) == (name, expected)
        assert (name, _text(events[name])) == (name, "")
        assert (name, _stop_reason(events[name])) == (name, StopReason.TOOL_USE)
    assert _calls(events["thinking"]) == ONE
    assert _thinking(events["thinking"]) == (THOUGHT if _thought(output, prompts["thinking"], "thinking") else "")
    ((called, arguments), *_) = _calls(events["another tool"])
    assert called == "get_time"
    jsonschema.validate(arguments, SCHEMAS["get_time"])


async def _events(
    folder: Path, family: Family, answers: Answers, requests: Mapping[str, GenerationRequest]
) -> dict[str, list[GenerationEvent]]:
    async with rigged_engine(folder, family, answers) as engine:
        return {name: await events_of(engine, request) for name, request in requests.items()}


def _thought(output: Output, prompt: RenderedPrompt, name: str) -> str:
    """The thinking before the call, if the request asks for it or the prompt opens it."""
    return output.thinks(is_open=prompt.starts_thinking) if prompt.starts_thinking or name == "thinking" else ""


def _calls(events: list[GenerationEvent]) -> list[tuple[str, object]]:
    """The complete calls."""
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
