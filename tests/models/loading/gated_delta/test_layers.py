"""Layers that run chunk by chunk give mlx-lm's results, whatever reaches them: parts, padding, packed weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx import nn

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.models.loading.gated_delta.families import FAMILIES
from pensieve.models.loading.gated_delta.install import run_by_chunks
from tests.dialects.matrix.model_types import config_of
from tests.models.loading.gated_delta.models import TYPES, original

import_mlx_lm()  # before anything else imports it

# ruff: noqa: E402
import mlx_lm.models
from mlx_lm.generate import BatchGenerator, generate_step
from mlx_lm.models.cache import make_prompt_cache

TOLERANCE = 5e-4
"""Of logits, relative to the largest, in f32: layers amplify how sums are rounded."""


def pair(model_type: str, **config: Any) -> tuple[Any, Any]:
    """mlx-lm's model, and the same by chunks."""
    stock, ours = original(model_type, **config), original(model_type, **config)
    assert run_by_chunks(ours, "cpu") > 0
    return stock, ours


def prompt(num_tokens: int, seed: int = 0) -> mx.array:
    return mx.random.randint(3, 131, (1, num_tokens), key=mx.random.key(seed))


def difference(actual: mx.array, expected: mx.array) -> float:
    return float(mx.abs(actual - expected).max() / mx.abs(expected).max())


def logits(model: Any, token_ids: mx.array, caches: list[Any] | None, *lengths: int) -> mx.array:
    """In passes of these lengths."""
    found, start = [], 0
    for length in lengths:
        found.append(model(token_ids[:, start : start + length], cache=caches))
        start += length
    return mx.concatenate(found, axis=1)


@pytest.mark.parametrize("model_type", TYPES)
def test_passes_of_any_length_share_their_state(model_type: str) -> None:
    stock, ours = pair(model_type)
    lengths = (90, 1, 2, 67, 1)
    expected = logits(stock, prompt(161), make_prompt_cache(stock), *lengths)
    assert difference(logits(ours, prompt(161), make_prompt_cache(ours), *lengths), expected) < TOLERANCE


@pytest.mark.parametrize("model_type", TYPES)
def test_the_same_tokens_follow(model_type: str) -> None:
    stock, ours = pair(model_type)
    expected, actual = (
        [token for token, _ in generate_step(prompt(150)[0], model, max_tokens=24)] for model in (stock, ours)
    )
    assert actual == expected


@pytest.mark.parametrize("model_type", TYPES)
def test_the_states_are_those_of_mlx_lm(model_type: str) -> None:
    stock, ours = pair(model_type)
    states = []
    for model in (stock, ours):
        caches = make_prompt_cache(model)
        model(prompt(100), cache=caches)
        states.append([array for cache in caches if hasattr(cache, "lengths") for array in cache.state[0]])
    for expected, actual in zip(*states, strict=True):
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
        assert difference(actual, expected) < TOLERANCE


@pytest.mark.parametrize("model_type", TYPES)
def test_a_model_runs_without_caches(model_type: str) -> None:
    stock, ours = pair(model_type)
    assert difference(ours(prompt(80)), stock(prompt(80))) < TOLERANCE


@pytest.mark.parametrize("model_type", [each for each in TYPES if each != "olmo_hybrid"])
def test_prompts_of_different_lengths_together(model_type: str) -> None:
    """mlx-lm pads a batch. Its OLMo layers mix the padding in, so there is nothing to compare with."""
    stock, ours = pair(model_type)
    prompts = [[int(each) for each in prompt(length, length)[0]] for length in (3, 40, 90)]
    generators = [BatchGenerator(each, stream=mx.default_stream(mx.default_device())) for each in (stock, ours)]
    assert together(generators[1], prompts) == together(generators[0], prompts)


def together(generator: BatchGenerator, prompts: list[list[int]]) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {uid: [] for uid in generator.insert(prompts, max_tokens=[12] * len(prompts))}
    for _ in range(200):
        for response in generator.next()[1]:
            found[response.uid].append(int(response.token))
    assert {len(tokens) for tokens in found.values()} == {12}
    return found


def test_padding_leaves_no_trace_in_a_layer_with_separate_convolutions() -> None:
    _, ours = pair("olmo_hybrid")
    alone, padded = make_prompt_cache(ours), make_prompt_cache(ours)
    layer, tokens = ours.model.layers[0].linear_attn, mx.random.normal((1, 80, 64), key=mx.random.key(1))
    expected = layer(tokens, None, alone[0])
    garbage = mx.random.normal((1, 20, 64), key=mx.random.key(2))
    mask = mx.arange(100)[None] >= 20
    actual = layer(mx.concatenate([garbage, tokens], axis=1), mask, padded[0])
    assert difference(actual[:, 20:], expected) < TOLERANCE
    assert difference(padded[0][3], alone[0][3]) < TOLERANCE


def test_a_row_that_has_ended_keeps_its_state_when_another_has_one_more_token() -> None:
    _, ours = pair("olmo_hybrid")
    layer, cache = ours.model.layers[0].linear_attn, make_prompt_cache(ours)[0]
    tokens = mx.random.normal((2, 21, 64), key=mx.random.key(1))
    cache.prepare(lengths=[20, 21])
    layer(tokens[:, :20], cache.make_mask(20), cache)
    before = [array[0] for array in cache.state[0]]
    layer(tokens[:, 20:], cache.make_mask(1), cache)
    for earlier, array in zip(before, cache.state[0], strict=True):
        assert mx.array_equal(array[0], earlier)
        assert not mx.array_equal(array[1], earlier)


@pytest.mark.parametrize("model_type", TYPES)
def test_packed_projections_are_used_as_they_are(model_type: str) -> None:
    stock, ours = pair(model_type)
    for model in (stock, ours):
        nn.quantize(model, 32, 4, class_predicate=lambda _, module: can_be_packed(module))
    assert difference(ours(prompt(80)), stock(prompt(80))) < 5 * TOLERANCE


def can_be_packed(module: Any) -> bool:
    return isinstance(module, nn.Linear) and module.weight.shape[-1] % 32 == 0 and module.weight.shape[0] > 8


@pytest.mark.parametrize("bounds", [{"gate_lower_bound": -5.0}, {}])
def test_a_bounded_decay_is_bounded_by_chunks_as_well(bounds: dict[str, float]) -> None:
    text = config_of("kimi_k3")["text_config"]
    text = {**text, "linear_attn_config": {**text["linear_attn_config"], **bounds}, "use_full_rank_gate": True}
    stock, ours = pair("kimi_k3", text_config=text)
    assert difference(ours(prompt(80)), stock(prompt(80))) < TOLERANCE


def test_every_layer_of_mlx_lm_with_this_rule_is_known() -> None:
    known = {name.partition(".")[0] for name in FAMILIES}
    folder = Path(next(iter(mlx_lm.models.__path__)))
    using = {path.stem for path in folder.glob("*.py") if re.search(r"= gated_delta_update\(", path.read_text())}
    assert using == known
