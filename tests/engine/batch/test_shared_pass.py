"""Beside rows that decode, prompts are prefilled in the passes that decode, and each answer is that of mlx-lm alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pensieve.device.device import device_info
from pensieve.engine.kv.rows.layers.take_rows import let_layers_take_rows
from pensieve.engine.memory.layout import layout_of
from pensieve.models.loading.load import LoadedModel
from tests.engine.batch.batch_run import BatchRun, alone
from tests.engine.kv.models import small
from tests.engine.speculation.test_speculation import Eager
from tests.engine.support.tiny_modules import prompt

pytestmark = pytest.mark.skipif(device_info().backend != "cpu", reason="passes are shared on CPUs only")

CHUNK_TOKENS = 32


def streaming(model: LoadedModel, num_streams: int = 1, **options: object) -> BatchRun:
    """A batch in which that many rows decode, and whose passes are recorded from now on."""
    run = BatchRun(model, chunk_tokens=CHUNK_TOKENS, **options)  # type: ignore[arg-type]
    for seed in range(num_streams):
        run.insert(prompt(20, seed), 60)
    while not all(run.tokens.values()):
        run.step()
    run.passes.shapes.clear()
    return run


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "gpt_oss", "llama4", "gemma2", "afm7"])
def test_a_chunk_needs_no_pass_of_its_own(kind: str) -> None:
    model = replace(small(kind), eos_token_ids=frozenset())
    let_layers_take_rows(model.model)
    run = streaming(model, layout=layout_of(model))
    joined = run.insert(prompt(70, 9), 4)
    num_steps = 0
    while joined not in run.decoding:
        run.step()
        num_steps += 1
    assert len(run.passes.shapes) == num_steps > 2
    assert {num_tokens for _, num_tokens in run.passes.shapes} == {1}, "nothing is padded"
    assert max(num_rows for num_rows, _ in run.passes.shapes) == CHUNK_TOKENS
    assert run.finish() == [alone(model, prompt(20, 0), 60), alone(model, prompt(70, 9), 4)]


@pytest.mark.parametrize("kind", ["qwen3_5", "deepseek_v3"])
def test_layers_that_do_not_attend_to_rows_have_passes_of_their_own(kind: str) -> None:
    model = small(kind)
    let_layers_take_rows(model.model)
    run = streaming(model, layout=layout_of(model))
    run.insert(prompt(70, 9), 4)
    run.step()
    assert len(run.passes.shapes) == 2
    assert run.finish() == [alone(model, prompt(20, 0), 60), alone(model, prompt(70, 9), 4)]


def test_prompts_of_several_lengths_join_several_streams(model: LoadedModel) -> None:
    run = streaming(model, num_streams=3)
    joining = [prompt(length, length) for length in (50, 3, 31, 90)]
    for token_ids in joining:
        run.insert(token_ids, 12)
    streams = [alone(model, prompt(20, seed), 60) for seed in range(3)]
    assert run.finish() == [*streams, *(alone(model, token_ids, 12) for token_ids in joining)]


def test_a_stream_may_end_in_a_shared_pass(model: LoadedModel) -> None:
    """Its caches hold what it computed, and the prompt goes on alone."""
    run = BatchRun(model, chunk_tokens=CHUNK_TOKENS)
    stream = run.insert(prompt(20, 1), 4)
    run.insert(prompt(20, 2), 60)
    while not run.tokens[stream]:
        run.step()
    run.insert(prompt(200, 3), 4)
    assert run.finish() == [
        alone(model, prompt(20, 1), 4),
        alone(model, prompt(20, 2), 60),
        alone(model, prompt(200, 3), 4),
    ]
    token_ids, caches = run.computed[stream]
    assert token_ids[:20] == prompt(20, 1)
    assert {cache.offset for cache in caches} == {len(token_ids)}


def test_prefill_pauses_at_stops_beside_a_stream(model: LoadedModel) -> None:
    run = streaming(model)
    uid = run.insert(prompt(60, 2), 4, stops=(12, 40))
    assert run.finish()[1] == alone(model, prompt(60, 2), 4)
    assert [step[uid] for step in run.prefilled if uid in step] == [12, 40, 60]


def test_drafts_and_shared_passes_take_turns(model: LoadedModel) -> None:
    """A stream whose drafts are accepted keeps passes of its own, which give it several tokens. All are counted."""
    pace, run = Eager(), streaming(model)
    run.batch.speculate(pace)
    num_before = len(run.tokens[0])
    run.insert(prompt(400, 2), 4)
    assert run.finish() == [alone(model, prompt(20, 0), 60), alone(model, prompt(400, 2), 4)]
    kinds = {
        "shared" if num_tokens == 1 and num_rows > 2 else "verifying" if num_tokens < 17 else "prefill"
        for num_rows, num_tokens in run.passes.shapes
    }
    assert kinds >= {"shared", "verifying"}
    assert pace.counts.tokens == 60 - num_before + 4
