"""A model that wants to think is held to the operator's limits, and to the budget of its request."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from contracts.values.generation import GenerationEvent, TextGenerated, ThinkingGenerated
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling, Thinking
from pensieve.core.defaults.model_settings import ModelSettings, ThinkingMode
from pensieve.engine.engine import Engine
from pensieve.engine.options import EngineOptions
from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.resolve import resolve
from tests.dialects.real.families import family
from tests.dialects.wanting.model import write_wanting_model
from tests.support.engines import start_engine

THOUGHT: Final = "one two three four five six seven eight nine ten"
ANSWERS: Final = {
    "qwen3": f"<think>\n{THOUGHT}\n</think>\n\nYes.",
    "deepseek-r1": f"{THOUGHT}\n</think>\n\nYes.",
    "gpt-oss": f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
}
"""As each family goes on from its prompt: Qwen3 and gpt-oss begin to think themselves, R1's template does."""
THINKS: Final = GenerationRequest(
    (ChatMessage(Role.USER, "Hello"),), 60, Sampling(0.0), thinking=Thinking(enabled=True)
)


async def started(folder: Path, settings: ModelSettings) -> Engine:
    return await start_engine(resolve(str(folder), progress=SilentProgress()), EngineOptions(settings=settings))


def said(folder: Path, name: str, request: GenerationRequest, settings: ModelSettings) -> tuple[str, str]:
    """The thinking and the text of the answer."""

    async def play() -> list[GenerationEvent]:
        write_wanting_model(folder, family(name), {})
        engine = await started(folder, settings)
        length = await engine.count_tokens(request.prompt)
        await engine.aclose()
        write_wanting_model(folder, family(name), {length: ANSWERS[name]})
        engine = await started(folder, settings)
        try:
            async with aclosing(engine.generate(request)) as events:
                return [event async for event in events]
        finally:
            await engine.aclose()

    events = asyncio.run(play())
    thinking = "".join(event.text for event in events if isinstance(event, ThinkingGenerated))
    return thinking.strip(), "".join(event.text for event in events if isinstance(event, TextGenerated)).strip()


@pytest.mark.parametrize("name", ANSWERS)
def test_without_a_limit_the_model_thinks_as_it_wants(tmp_path: Path, name: str) -> None:
    assert said(tmp_path, name, THINKS, ModelSettings()) == (THOUGHT, "Yes.")


@pytest.mark.parametrize("name", ANSWERS)
def test_a_cap_closes_the_thinking_of_a_request_without_a_budget(tmp_path: Path, name: str) -> None:
    thinking, text = said(tmp_path, name, THINKS, ModelSettings(max_thinking_tokens=4))
    assert 2 <= len(thinking.split()) <= 4
    assert THOUGHT.startswith(thinking)
    assert text, "what comes after the thinking is the answer"


@pytest.mark.parametrize("name", ANSWERS)
def test_the_budget_of_a_request_holds_below_the_cap(tmp_path: Path, name: str) -> None:
    request = replace(THINKS, thinking=Thinking(enabled=True, budget_tokens=4))
    thinking, _ = said(tmp_path, name, request, ModelSettings(max_thinking_tokens=1000))
    assert len(thinking.split()) <= 4


@pytest.mark.parametrize("name", ANSWERS)
def test_where_thinking_is_off_there_is_none_for_any_request(tmp_path: Path, name: str) -> None:
    thinking, text = said(tmp_path, name, THINKS, ModelSettings(thinking=ThinkingMode.OFF))
    assert thinking == ""
    assert text
