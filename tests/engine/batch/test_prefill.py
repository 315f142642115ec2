"""Prompts share the prefill steps in order of arrival, within the limits of memory and of the waiting streams."""

from __future__ import annotations

import pytest

from pensieve.core.scheduling.prefill_budget import PrefillBudget
from pensieve.models.loading.load import LoadedModel
from tests.engine.batch.batch_run import CHUNK_TOKENS, BatchRun, alone
from tests.engine.support.tiny_modules import prompt


def test_many_prompts_are_prefilled_a_few_at_a_time_in_order(model: LoadedModel) -> None:
    run = BatchRun(model)
    uids = [run.insert(prompt(101, number), 4) for number in range(6)]
    run.finish()
    assert max(len(step) for step in run.prefilled) == 2, "two shares of 64 make a chunk of 128"
    started = [uid for step in run.prefilled for uid in step]
    assert list(dict.fromkeys(started)) == uids
    first_steps = [next(number for number, step in enumerate(run.prefilled) if uid in step) for uid in uids]
    assert first_steps == [0, 0, 2, 2, 4, 4]


def test_a_short_prompt_does_not_wait_for_all_of_a_long_one(model: LoadedModel) -> None:
    run = BatchRun(model)
    long = run.insert(prompt(2000, 1), 4)
    short = run.insert(prompt(30, 2), 4)
    while not run.tokens[short]:
        run.step()
    assert run.prefilled[-1][long] < 1000


def test_short_prompts_that_arrive_together_are_prefilled_in_one_step(model: LoadedModel) -> None:
    """Memory is reserved for a chunk after 4,096 tokens, which is enough for more at the start of a prompt."""
    run = BatchRun(model, deep_bytes=200)
    prompts = [prompt(40 + number, number) for number in range(8)]
    uids = [run.insert(token_ids, 4) for token_ids in prompts]
    assert run.finish() == [alone(model, token_ids, 4) for token_ids in prompts]
    assert list(run.prefilled[0]) == uids
    assert run.passes.shapes[0] == (8, 47)


def test_prompts_of_different_lengths_in_one_step_get_the_same_tokens_as_each_alone(model: LoadedModel) -> None:
    run = BatchRun(model, deep_bytes=200)
    prompts = [prompt(120, 1), prompt(30, 2), prompt(100, 3)]
    for token_ids in prompts:
        run.insert(token_ids)
    assert run.finish() == [alone(model, token_ids) for token_ids in prompts]
    assert run.passes.shapes[0] == (3, 120)


def test_short_prompts_are_prefilled_a_few_at_a_time_if_memory_is_low(model: LoadedModel) -> None:
    run = BatchRun(model, deep_bytes=100)
    for number in range(8):
        run.insert(prompt(50, number), 4)
    run.step()
    assert len(run.prefilled[0]) == 2


def test_a_long_prompt_is_prefilled_in_chunks_despite_free_memory(model: LoadedModel) -> None:
    run = BatchRun(model, deep_bytes=10_000)
    long = run.insert(prompt(2000, 1), 4)
    run.insert(prompt(30, 2), 4)
    run.step()
    assert run.prefilled[0][long] == CHUNK_TOKENS // 2


def test_started_prompts_all_continue_when_the_prefill_budget_shrinks(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = BatchRun(model, chunk_tokens=512)
    prompts = [prompt(300, number) for number in range(12)]
    for token_ids in prompts:
        run.insert(token_ids)
    run.step()
    assert len(run.prefilled[0]) == 8
    monkeypatch.setattr(PrefillBudget, "max_tokens", lambda *_: 64)
    num_passes = len(run.passes.shapes)
    run.step()
    assert run.passes.shapes[num_passes:] == [(8, 8)], "all eight continue, within the smaller budget"
    assert run.finish() == [alone(model, token_ids) for token_ids in prompts]


@pytest.mark.parametrize("in_rows", [True, False])
@pytest.mark.parametrize("last_stop", [29, 30, 31])
def test_prefill_pauses_at_stops_within_the_prompt_only(model: LoadedModel, last_stop: int, *, in_rows: bool) -> None:
    """A template that opens no answer ends a prompt with the end of a turn, which is not a place to pause."""
    run = BatchRun(model, in_rows=in_rows)
    long, short = prompt(2000, 1), prompt(30, 2)
    run.insert(long, 4)
    uid = run.insert(short, 4, stops=(last_stop, 12))
    assert run.finish() == [alone(model, long, 4), alone(model, short, 4)]
    prefilled = [step[uid] for step in run.prefilled if uid in step]
    assert prefilled == ([12, 29, 30] if last_stop == 29 or not in_rows else [12, 30])
