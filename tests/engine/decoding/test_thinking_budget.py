"""Thinking is closed once its budget is spent, whether the prompt or the model opened it."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Thinking
from pensieve.engine.batch.new_rows import NewRows
from pensieve.engine.decoding.thinking_budget import ThinkingBudget
from pensieve.engine.memory.probe import Probe
from pensieve.engine.prompt_cache.match import Match, MissReason
from pensieve.engine.requests.progress import AnswerProgress
from pensieve.engine.requests.prompt import PreparedPrompt
from pensieve.models.tokenizers.thinking_tokens import ThinkingTokens
from tests.engine.batch.batch_run import ROWS, BatchRun
from tests.engine.support.generate import GREEDY
from tests.engine.support.tiny_modules import prompt, tiny_module

ROWS_PROBE = Probe(128, 100, 1024, 100, ROWS)
FREE = 1
"""The model's token wherever the budget forces none."""


def generated_under(budget: ThinkingBudget, wanted: Sequence[int]) -> list[int]:
    """The tokens of an answer whose model prefers `wanted`."""
    generated: list[int] = []
    for token_id in wanted:
        allowed = np.flatnonzero(
            np.isfinite(np.array(budget(mx.array([0, *generated]), mx.zeros((1, 10))))[0])
        ).tolist()
        generated.append(allowed[0] if len(allowed) == 1 else token_id)
    return generated


def test_thinking_opened_by_the_prompt_is_closed_after_the_budget() -> None:
    assert generated_under(ThinkingBudget(3, [7, 8]), [FREE] * 6) == [1, 1, 1, 7, 8, 1]


def test_thinking_that_ends_within_the_budget_is_left_alone() -> None:
    assert generated_under(ThinkingBudget(4, [7, 8]), [1, 7, 8, 1, 1, 1, 1]) == [1, 7, 8, 1, 1, 1, 1]


def test_thinking_opened_by_the_model_is_closed_after_the_budget() -> None:
    budget = ThinkingBudget(2, [7], [5, 6], is_open=False)
    assert generated_under(budget, [1, 1, 1, 5, 6, *[FREE] * 4]) == [1, 1, 1, 5, 6, 1, 1, 7, 1]


def test_an_answer_without_thinking_is_left_alone() -> None:
    assert generated_under(ThinkingBudget(2, [7], [5], is_open=False), [FREE] * 9) == [FREE] * 9


def test_all_parts_of_thinking_share_one_budget() -> None:
    budget = ThinkingBudget(3, [7], [5], is_open=False)
    assert generated_under(budget, [5, 1, 7, 1, 5, 1, 1, 1, 1, 1]) == [5, 1, 7, 1, 5, 1, 7, 1, 1, 1]


def allowed_after(budget: ThinkingBudget, generated: Sequence[int]) -> list[int]:
    """The tokens that may follow `generated`."""
    for end in range(len(generated)):
        budget(mx.array([0, *generated[:end]]), mx.zeros((1, 10)))
    logits = budget(mx.array([0, *generated]), mx.zeros((1, 10)))
    return np.flatnonzero(np.isfinite(np.array(logits)[0])).tolist()


def test_thinking_is_not_reopened_once_the_budget_is_spent() -> None:
    """A model whose thinking is closed at once might reopen it forever."""
    spent = [5, 7]
    assert allowed_after(ThinkingBudget(0, [7], [5], is_open=False), []) == list(range(10))
    assert allowed_after(ThinkingBudget(0, [7], [5], is_open=False), spent) == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert allowed_after(ThinkingBudget(0, [7], [5]), [7]) == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_the_first_token_of_a_longer_mark_stays_allowed_because_other_parts_share_it() -> None:
    """As in gpt-oss: <|channel|> begins every part, and `analysis` after it is thinking."""
    spent = [4, 5, 6, 7]
    assert allowed_after(ThinkingBudget(0, [7], [4, 5, 6], is_open=False), spent) == list(range(10))
    assert allowed_after(ThinkingBudget(0, [7], [4, 5, 6], is_open=False), [*spent, 4]) == [0, 1, 2, 3, 4, 6, 7, 8, 9]


@pytest.mark.parametrize("is_open", [True, False])
def test_a_budget_of_zero_closes_thinking_at_once(*, is_open: bool) -> None:
    budget = ThinkingBudget(0, [7, 8], [5], is_open=is_open)
    assert generated_under(budget, [FREE] * 4 if is_open else [5, *[FREE] * 3])[-3:] == (
        [8, 1, 1] if is_open else [7, 8, 1]
    )


@pytest.mark.parametrize(
    ("thinking", "starts", "end", "num_processors"),
    [
        (Thinking(enabled=True), False, [], 0),
        (Thinking(enabled=True, budget_tokens=9), False, [], 1),
        (Thinking(enabled=True, budget_tokens=9), True, [100], 1),
        (Thinking(budget_tokens=0), False, [], 1),
        (Thinking(budget_tokens=0), True, [100], 1),
        (Thinking(budget_tokens=0), False, [100, 10, 101, 10], 0),
        (Thinking(budget_tokens=0), False, [101, 11, 10], 1),
    ],
)
def test_a_row_gets_a_budget_only_if_it_may_think(
    thinking: Thinking, *, starts: bool, end: list[int], num_processors: int
) -> None:
    """A row with a budget is not speculated on, so a prompt that closes thinking itself must not get one."""
    model = tiny_module("llama")
    model.thinking = ThinkingTokens((100,), (101,), frozenset({10}))
    new_rows = NewRows(model, ROWS_PROBE, kv_bits=None, forced=None, samples_in_prefill=True)
    request = GenerationRequest((ChatMessage(Role.USER, ""),), 8, thinking=thinking)
    prepared = PreparedPrompt(request, [*prompt(9), *end], starts_thinking=starts)
    row, _ = new_rows.make(prepared, 8, Match(0, None, MissReason.EMPTY), ())
    assert len(row.processors) == num_processors


def test_thinking_leaves_half_of_what_the_window_leaves_to_the_answer() -> None:
    """Of 20 tokens that the window leaves, at most ten are thinking, whatever budget suits a larger max_tokens."""
    model = tiny_module("llama")
    model.thinking = ThinkingTokens((100,), (101,), frozenset({10}))
    run = BatchRun(model)
    request = GenerationRequest(
        (ChatMessage(Role.USER, ""),), 128_000, GREEDY, thinking=Thinking(enabled=True, budget_tokens=64_000)
    )
    prepared = PreparedPrompt(request, [*prompt(9), 100], starts_thinking=True, window_tokens=30)
    uid = run.batch.insert(prepared, AnswerProgress(prepared).max_answer_tokens, Match(0, None, MissReason.EMPTY))
    run.tokens[uid] = []
    (tokens,) = run.finish()
    assert (len(tokens), tokens.index(101)) == (20, 10)
