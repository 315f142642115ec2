"""Thinking is closed when its budget is spent, whether the prompt opened it or the model does."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import mlx.core as mx
import numpy as np
import pytest

from contracts.vocabulary import ChatMessage, GenerationRequest, Role, Thinking
from pensieve.engine.grammar import ThinkingBudget
from tests.engine.test_batch import Run
from tests.engine.tiny_modules import prompt, tiny_module

FREE = 1
"""What is said where the budget forces nothing."""


def said_under(budget: ThinkingBudget, wanted: Sequence[int]) -> list[int]:
    """The tokens of an answer that wants to be `wanted`."""
    said: list[int] = []
    for token_id in wanted:
        allowed = np.flatnonzero(np.isfinite(np.array(budget(mx.array([0, *said]), mx.zeros((1, 10))))[0])).tolist()
        said.append(allowed[0] if len(allowed) == 1 else token_id)
    return said


def test_thinking_that_the_prompt_opened_is_closed_after_its_tokens() -> None:
    assert said_under(ThinkingBudget(3, [7, 8]), [FREE] * 6) == [1, 1, 1, 7, 8, 1]


def test_thinking_that_ends_by_itself_is_left_alone() -> None:
    assert said_under(ThinkingBudget(4, [7, 8]), [1, 7, 8, 1, 1, 1, 1]) == [1, 7, 8, 1, 1, 1, 1]


def test_thinking_that_the_model_opens_is_closed_after_its_tokens() -> None:
    budget = ThinkingBudget(2, [7], [5, 6], is_open=False)
    assert said_under(budget, [1, 1, 1, 5, 6, *[FREE] * 4]) == [1, 1, 1, 5, 6, 1, 1, 7, 1]


def test_an_answer_without_thinking_is_never_touched() -> None:
    assert said_under(ThinkingBudget(2, [7], [5], is_open=False), [FREE] * 9) == [FREE] * 9


def test_the_parts_of_thinking_share_one_budget() -> None:
    budget = ThinkingBudget(3, [7], [5], is_open=False)
    assert said_under(budget, [5, 1, 7, 1, 5, 1, 1, 1, 5, 1]) == [5, 1, 7, 1, 5, 1, 7, 1, 5, 7]


@pytest.mark.parametrize("is_open", [True, False])
def test_a_budget_of_nothing_closes_at_once(*, is_open: bool) -> None:
    budget = ThinkingBudget(0, [7, 8], [5], is_open=is_open)
    assert said_under(budget, [FREE] * 4 if is_open else [5, *[FREE] * 3])[-3:] == ([8, 1, 1] if is_open else [7, 8, 1])


@pytest.mark.parametrize(
    ("thinking", "starts", "end", "num_processors"),
    [
        (Thinking(enabled=True), False, [], 0),
        (Thinking(enabled=True, budget_tokens=9), False, [], 1),
        (Thinking(enabled=True, budget_tokens=9), True, [100], 1),
        (Thinking(budget_tokens=0), False, [], 1),
        (Thinking(budget_tokens=0), True, [100], 1),
        (Thinking(budget_tokens=0), False, [100, 10, 101, 10], 0),
        (Thinking(budget_tokens=0), False, [101, *[10] * 20], 1),
    ],
)
def test_a_row_is_held_to_a_budget_only_where_it_may_think(
    thinking: Thinking, *, starts: bool, end: list[int], num_processors: int
) -> None:
    """A row that is held to one is not speculated on, so a template that closes thinking itself keeps that."""
    marks = SimpleNamespace(think_start_tokens=(100,), think_end_tokens=(101,))
    model = tiny_module("llama")
    model.tokenizer = marks
    run = Run(model)
    ticket = run.ticket(GenerationRequest((ChatMessage(Role.USER, ""),), 8, thinking=thinking), [*prompt(9), *end])
    ticket.starts_thinking = starts
    assert len(run.batch._processors(ticket, None)) == num_processors
    run.loop.close()
