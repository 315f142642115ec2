"""The operator's limits and a request's budget end the thinking of a model that would go on."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from contracts.values.generation import GenerationEvent, TextGenerated, ThinkingGenerated
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling, Thinking
from pensieve.core.defaults.model_settings import ModelSettings, ThinkingMode
from tests.dialects.real.families import family
from tests.dialects.rigged.engine import events_of, prompts_of, rigged_engine

THOUGHT: Final = "one two three four five six seven eight nine ten"
ANSWERS: Final = {
    "qwen3": f"<think>\n{THOUGHT}\n</think>\n\nYes.",
    "deepseek-r1": f"{THOUGHT}\n</think>\n\nYes.",
    "gpt-oss": f"<|channel|>analysis<|message|>{THOUGHT}<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
}
"""What each family writes after its prompt: Qwen3 and gpt-oss open the thinking, R1's template has opened it."""
THINKS: Final = GenerationRequest(
    (ChatMessage(Role.USER, "Hello"),), 60, Sampling(0.0), thinking=Thinking(enabled=True)
)


def answer(folder: Path, name: str, request: GenerationRequest, settings: ModelSettings) -> tuple[str, str]:
    """The thinking and the text of the answer."""
    small = family(name).with_small_vocabulary()
    (prompt,) = prompts_of(small, settings.request(request))

    async def play() -> list[GenerationEvent]:
        async with rigged_engine(folder, small, {len(prompt.token_ids): ANSWERS[name]}, settings) as engine:
            return await events_of(engine, request)

    events = asyncio.run(play())
    thinking = "".join(event.text for event in events if isinstance(event, ThinkingGenerated))
    return thinking.strip(), "".join(event.text for event in events if isinstance(event, TextGenerated)).strip()


@pytest.mark.parametrize("name", ANSWERS)
def test_without_a_limit_the_whole_thought_is_returned(tmp_path: Path, name: str) -> None:
    assert answer(tmp_path, name, THINKS, ModelSettings()) == (THOUGHT, "Yes.")


@pytest.mark.parametrize("name", ANSWERS)
def test_the_operators_limit_ends_the_thinking_of_a_request_without_a_budget(tmp_path: Path, name: str) -> None:
    thinking, text = answer(tmp_path, name, THINKS, ModelSettings(max_thinking_tokens=4))
    assert 2 <= len(thinking.split()) <= 4
    assert THOUGHT.startswith(thinking)
    assert text, "the answer follows the thinking"


@pytest.mark.parametrize("name", ANSWERS)
def test_a_requests_budget_below_the_operators_limit_ends_its_thinking(tmp_path: Path, name: str) -> None:
    request = replace(THINKS, thinking=Thinking(enabled=True, budget_tokens=4))
    thinking, _ = answer(tmp_path, name, request, ModelSettings(max_thinking_tokens=1000))
    assert len(thinking.split()) <= 4


@pytest.mark.parametrize("name", ANSWERS)
def test_with_thinking_off_no_request_gets_any(tmp_path: Path, name: str) -> None:
    thinking, text = answer(tmp_path, name, THINKS, ModelSettings(thinking=ThinkingMode.OFF))
    assert thinking == ""
    assert text
