"""Whatever kinds of caches a model has, batched and speculated answers are those of mlx-lm alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Final

import pytest

from pensieve.core.drafts.prompt_lookup import PromptLookup
from pensieve.device.checked_kernels import CHECKED_KERNELS
from pensieve.device.device import device_info
from pensieve.engine.kv.rows.forms import RowForms
from pensieve.engine.kv.rows.layers.take_rows import let_layers_take_rows
from pensieve.engine.memory.layout import Layout, layout_of
from pensieve.models.loading.load import LoadedModel
from tests.dialects.matrix.model_types import config_of
from tests.engine.batch.batch_run import BatchRun, alone
from tests.engine.kv.models import small
from tests.engine.speculation.test_speculation import Eager
from tests.engine.support.tiny_modules import prompt

ATTENDING, LATENT, GATHERED = RowForms(), RowForms("latent"), RowForms("gathered")
LAYOUTS = {
    "qwen3_5": Layout("attention", "whole", ATTENDING),
    "granitemoehybrid": Layout("attention", "whole", ATTENDING),
    "lfm2": Layout("attention", "whole", ATTENDING),
    "gemma3_text": Layout("attention", "whole", RowForms("attending", "attending")),
    "gpt_oss": Layout("attention", "whole", RowForms("attending", "attending")),
    "mimo_v2_flash": Layout("attention", "whole", RowForms("attending", "gathered")),
    "gemma4_text": Layout("attention", "whole", RowForms("gathered", "gathered")),
    "nemotron_h": Layout("attention", "decoding", ATTENDING),
    "deepseek_v3": Layout("all", "whole", LATENT),
    "longcat_flash": Layout("all", "whole", LATENT),
    "kimi_linear": Layout("attention", "whole", LATENT),
    "phi": Layout("all", "whole", GATHERED),
    "mamba2": Layout("attention", "whole", RowForms(None)),
    "gemma2": Layout("all", "whole", ATTENDING),
    "llama4": Layout("attention", "whole", RowForms("attending", "attending")),
    "gpt_bigcode": Layout("all", "whole", ATTENDING),
    "deepseek_v32": Layout("all", "whole", GATHERED),
    "afm7": Layout("all", "whole", ATTENDING),
    "deepseek_v41": Layout("none", "separate", RowForms(None)),
}
"""Which layers are rows, what is batched, and how rows are attended to: hybrids of recurrent layers, windows, sinks,
latent attention, lists of caches, capped scores, chunks, learned positions, selected tokens, keys of an earlier layer,
a pass for each request.
"""
WIDE: Final = {f"{kind} of wide heads": kind for kind in ("qwen3_5", "gemma3_text", "gpt_oss")}
"""The others have heads too small for the kernels that run on GPUs."""
HEAD_SIZE: Final = 64
needs_gpu = pytest.mark.skipif(device_info().backend == "cpu", reason="the kernels run on GPUs")
VOCABULARY = 128
SPECULATED: Final = prompt(40, 5)

NewRun = Callable[..., BatchRun]
Know = Callable[[list[int], list[int]], None]


@pytest.fixture(scope="module", params=[*LAYOUTS, *(pytest.param(name, marks=needs_gpu) for name in WIDE)])
def model(request: pytest.FixtureRequest) -> LoadedModel:
    loaded = small(request.param) if request.param in LAYOUTS else wide(WIDE[request.param])
    let_layers_take_rows(loaded.model)
    return loaded


@pytest.fixture
def repeatable(request: pytest.FixtureRequest) -> None:
    """For tests that compare with mlx-lm's own answers, which have to be the same each time."""
    if device_info().backend == "cuda" and "gpt_oss" in request.node.callspec.params["model"]:
        pytest.skip("on CUDA, mlx-lm's own answers of gpt_oss differ from run to run in f32 (mlx 0.32.4)")


def wide(model_type: str) -> LoadedModel:
    config = config_of(model_type)
    sizes = {"head_dim": HEAD_SIZE}
    return small(model_type, **({"text_config": config["text_config"] | sizes} if "text_config" in config else sizes))


@pytest.fixture(scope="module")
def layout(model: LoadedModel) -> Layout:
    return layout_of(model)


@pytest.fixture(scope="module")
def greedy(model: LoadedModel) -> Callable[[], list[int]]:
    """The answer alone to SPECULATED, computed by the first test that needs it."""
    return cache(lambda: alone(model, SPECULATED, 60))


@pytest.fixture
def new_run(model: LoadedModel, layout: Layout) -> NewRun:
    def make(eos_token_ids: frozenset[int] = frozenset()) -> BatchRun:
        return BatchRun(replace(model, eos_token_ids=eos_token_ids), layout=layout)

    return make


def test_each_layer_has_the_best_cache_that_computes_the_same(request: pytest.FixtureRequest, layout: Layout) -> None:
    name = request.node.callspec.params["model"]
    assert layout == LAYOUTS[WIDE.get(name, name)]


def test_requests_that_join_and_leave_get_the_tokens_of_each_alone(
    repeatable: None, model: LoadedModel, new_run: NewRun
) -> None:
    prompts = [prompt(40, 1), prompt(150, 2), prompt(3, 3)]
    run = new_run()
    run.insert(prompts[0], 30)
    while not run.tokens[0]:
        run.step()
    for token_ids in prompts[1:]:
        if run.batch.max_size > len(run.tokens):
            run.insert(token_ids, 12)
    expected = [alone(model, prompts[0], 30), *(alone(model, each, 12) for each in prompts[1:])]
    assert run.finish() == expected[: len(run.tokens)]


@pytest.mark.parametrize("model", ["qwen3_5", "mamba2"], indirect=True)
def test_a_recurrent_layer_masks_no_token_of_a_decoding_step(new_run: NewRun) -> None:
    """Its layers are slower with a mask. Prompts of one token begin in such a step, with caches that are empty."""
    run = new_run()
    for num_tokens in (5, 9, 1):
        run.insert(prompt(num_tokens, num_tokens), 8)
        while not run.tokens[len(run.tokens) - 1]:
            run.step()
    run.finish()
    decoding = [
        is_masked for (_, num), is_masked in zip(run.passes.shapes, run.passes.are_masked, strict=True) if num == 1
    ]
    assert len(decoding) > 8
    assert sum(decoding) <= 1, "only the pass in which the prompt of one token begins"


@pytest.mark.parametrize("model", [pytest.param(name, marks=needs_gpu) for name in WIDE], indirect=True)
def test_one_kernel_attends_to_all_rows_on_a_gpu(model: LoadedModel, new_run: NewRun) -> None:
    run = new_run()
    for seed in (1, 2):
        run.insert(prompt(40, seed), 12)
    run.finish()
    with_sinks = any("sinks" in module for _, module in model.model.named_modules())
    kernel = f"attention of 4/2 heads of {HEAD_SIZE}/{HEAD_SIZE} float32{' with sinks' if with_sinks else ''}"
    assert CHECKED_KERNELS.verdicts()[kernel] == "used"


@pytest.fixture
def often_right(monkeypatch: pytest.MonkeyPatch) -> Know:
    """Drafts of the greedy answer to one prompt, of which every seventh token is wrong."""

    def know(token_ids: list[int], answer: list[int]) -> None:
        def draft(lookup: PromptLookup, num_tokens: int) -> list[int]:
            begin = lookup.num_tokens - len(token_ids)
            right = [*answer, *[0] * num_tokens][begin : begin + num_tokens]
            return [(each + (begin + place) % 7 // 6) % VOCABULARY for place, each in enumerate(right)]

        monkeypatch.setattr(PromptLookup, "has_source", True)
        monkeypatch.setattr(PromptLookup, "match_length", 16)
        monkeypatch.setattr(PromptLookup, "draft", draft)

    return know


def test_speculated_answers_are_those_of_plain_decoding(
    repeatable: None, layout: Layout, new_run: NewRun, greedy: Callable[[], list[int]], often_right: Know
) -> None:
    """Rows that are speculated on together have drafts of several lengths, and lose other numbers of tokens."""
    token_ids, pace, run = SPECULATED, Eager(), new_run()
    expected = greedy()
    often_right(token_ids, expected)
    run.batch.speculate(pace)
    run.insert(token_ids, 60)
    while not run.tokens[0]:
        run.step()
    for max_tokens in (23, 48)[: run.batch.max_size - 1]:
        run.step()
        run.insert(token_ids, max_tokens)
    assert run.finish() == [expected, expected[:23], expected[:48]][: len(run.tokens)]
    if run.batch.max_size == 1 or layout.batching == "whole":
        assert pace.counts.proposed > pace.counts.accepted > 30


def test_a_row_that_ends_leaves_caches_that_continue_like_its_own_tokens(
    repeatable: None, model: LoadedModel, new_run: NewRun, greedy: Callable[[], list[int]], often_right: Know
) -> None:
    """What is stored of an answer, also if its last draft went on after the end."""
    token_ids = SPECULATED
    expected = greedy()
    often_right(token_ids, expected)
    last = next(token_id for place, token_id in enumerate(expected) if place > 8 and token_id not in expected[:place])
    run = new_run(eos_token_ids=frozenset({last}))
    run.batch.speculate(Eager())
    run.insert(token_ids, 60)
    (answer,) = run.finish()
    assert answer == expected[: expected.index(last) + 1]
    held, caches = run.computed[0]
    assert held == [*token_ids, *answer]
    fresh = new_run()
    fresh.insert([*held, 7], 12, cached=caches)
    assert fresh.finish() == [alone(model, [*held, 7], 12)]
