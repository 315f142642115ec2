"""Batched requests get the tokens that each gets alone, and no more passes than they need."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pensieve.engine.decoding.cpu_tuning import CpuTuning
from pensieve.models.loading.load import LoadedModel
from tests.engine.batch.batch_run import BatchRun, alone, new_rows
from tests.engine.support.tiny_modules import prefill, prompt


@pytest.mark.parametrize("in_rows", [True, False])
def test_staggered_requests_get_the_same_tokens_as_each_alone(model: LoadedModel, *, in_rows: bool) -> None:
    prompts = [prompt(length, length) for length in (40, 1, 300, 7, 90, 2, 64, 65)]
    run = BatchRun(model, in_rows=in_rows)
    for token_ids in prompts:
        run.insert(token_ids)
        run.step()
        run.step()
    assert run.finish() == [alone(model, token_ids) for token_ids in prompts]


@pytest.mark.parametrize("in_rows", [True, False])
def test_a_joining_prompts_last_token_needs_no_pass_of_its_own(model: LoadedModel, *, in_rows: bool) -> None:
    run = BatchRun(model, in_rows=in_rows)
    first = run.insert(prompt(20, 1), 200)
    for _ in range(6):
        run.step()
    assert run.tokens[first], "the first request is decoding"
    run.passes.shapes.clear()
    second = run.insert(prompt(30, 2), 5)
    while not run.tokens[second]:
        run.step()
    if in_rows:
        assert run.passes.shapes[-1] == (31, 1), "the pass of the prompt gives its first token, beside the first's next"
    else:
        _, *later = run.passes.shapes[run.passes.shapes.index((1, 29)) :]
        assert later == [(2, 1)] * 2, "the second's last prompt token shares a pass with the first's next token"


def test_a_row_fed_twice_gets_the_same_tokens_and_is_cached_once(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CpuTuning, "before", lambda _, num_rows, **_fields: 2 if num_rows == 1 else 1)
    run = BatchRun(model)
    uid = run.insert(prompt(20, 1), 300)
    for _ in range(12):
        run.step()
    assert run.passes.shapes[-4:] == [(1, 2)] * 4
    token_ids, caches = run.batch.computed(uid)
    assert {cache.offset for cache in caches} == {len(token_ids)}
    run.insert(prompt(30, 2), 40)
    assert run.finish() == [alone(model, prompt(20, 1), 300), alone(model, prompt(30, 2), 40)]


@pytest.mark.parametrize("in_rows", [True, False])
@pytest.mark.parametrize("max_tokens", [1, 2, 9])
def test_no_pass_runs_after_the_last_allowed_tokens(model: LoadedModel, max_tokens: int, *, in_rows: bool) -> None:
    run = BatchRun(model, in_rows=in_rows)
    uids = [run.insert(prompt(20, number), max_tokens) for number in range(2)]
    assert run.finish() == [alone(model, prompt(20, number), max_tokens) for number in range(2)]
    assert run.passes.shapes.count((2, 1)) == max_tokens - in_rows, "without rows, one for both prompts' last tokens"
    for number, uid in enumerate(uids):
        token_ids, caches = run.computed[uid]
        assert token_ids == [*prompt(20, number), *run.tokens[uid][:-1]], "the last token went through no pass"
        assert {int(cache.offset) for cache in caches} == {len(token_ids)}


def test_a_joining_request_with_max_tokens_one_gets_its_token(model: LoadedModel) -> None:
    run = BatchRun(model)
    run.insert(prompt(20, 1), 40)
    for _ in range(6):
        run.step()
    joined = run.insert(prompt(30, 2), 1)
    run.finish()
    assert run.tokens[joined] == alone(model, prompt(30, 2), 1)


def test_a_row_can_be_removed_before_it_decodes(model: LoadedModel) -> None:
    run = BatchRun(model)
    first = run.insert(prompt(20, 1), 40)
    for _ in range(6):
        run.step()
    second = run.insert(prompt(30, 2))
    while second not in run.decoding:
        run.step()
    token_ids, caches = run.batch.remove([second])[second]
    assert token_ids == prompt(30, 2)
    assert {cache.offset for cache in caches} == {30}
    del run.tokens[second]
    assert run.finish() == [alone(model, prompt(20, 1), 40)]
    assert first in run.ended


@pytest.mark.parametrize("max_tokens", [1, 2, 20])
@pytest.mark.parametrize("in_rows", [True, False])
def test_a_first_token_is_emitted_before_the_second_tokens_pass(
    model: LoadedModel, max_tokens: int, *, in_rows: bool
) -> None:
    run = BatchRun(model, in_rows=in_rows)
    uid = run.insert(prompt(30, 2), max_tokens)
    while not run.tokens[uid]:
        run.step()
    assert run.passes.shapes == ([(1, 30)] if in_rows else [(1, 29), (1, 1)])
    assert run.finish() == [alone(model, prompt(30, 2), max_tokens)]


def test_a_prompt_cached_except_for_its_last_token_shares_the_next_pass(model: LoadedModel) -> None:
    run = BatchRun(model)
    first, token_ids = run.insert(prompt(20, 1)), prompt(30, 2)
    run.step()
    run.insert(token_ids, cached=prefill(model, token_ids[:-1], new_rows()))
    shapes = len(run.passes.shapes)
    run.step()
    assert run.passes.shapes[shapes:] == [(2, 1)]
    run.insert(token_ids, cached=prefill(model, token_ids[:-1], new_rows()))
    assert run.finish() == [alone(model, prompt(20, 1)), *[alone(model, token_ids)] * 2]
    assert first in run.ended


def test_the_first_tokens_of_prompts_cached_alike_are_those_of_each_alone(model: LoadedModel) -> None:
    """A prompt of which only the last token is left joins together with one that its own pass completed."""
    run = BatchRun(model)
    token_ids = prompt(30, 2)
    run.insert(prompt(20, 1))
    run.step()
    run.batch.remove([0])
    del run.tokens[0]
    run.insert(prompt(40, 3))
    run.insert(token_ids, cached=prefill(model, token_ids[:-1], new_rows()))
    assert run.finish() == [alone(model, prompt(40, 3)), alone(model, token_ids)]


def test_a_first_token_that_ends_the_answer_is_emitted_once_with_its_caches(model: LoadedModel) -> None:
    (first,) = alone(model, prompt(30, 2), 1)
    run = BatchRun(replace(model, eos_token_ids=frozenset({first})))
    run.insert(prompt(30, 2))
    assert run.finish() == [[first]]


def test_a_row_may_end_in_the_step_in_which_its_prompt_is_complete(model: LoadedModel) -> None:
    run = BatchRun(model)
    token_ids = prompt(30, 2)
    uid = run.insert(token_ids, 1, cached=prefill(model, token_ids[:-1], new_rows()))
    assert uid in run.batch
    run.step()
    assert run.decoding == run.ended == {uid}
    assert uid not in run.batch
