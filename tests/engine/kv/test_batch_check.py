"""Whether a model may batch requests is measured by running it, not assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import pytest

from pensieve.engine.kv.batch_check import Batching, batching_of, distance, keeps_apart, logits_alone
from tests.engine.kv.models import small


def checked(model: Any) -> Batching:
    return batching_of(model, logits_alone(model))


@pytest.mark.parametrize(
    ("model_type", "batching"),
    [
        ("llama", "whole"),
        ("gemma3_text", "whole"),
        ("mamba2", "whole"),
        ("mamba", "decoding"),
        ("nemotron_h", "decoding"),
        ("gemma2", "none"),
        ("llama4", "none"),
    ],
)
def test_each_model_type_is_batched_as_far_as_it_computes_correctly(model_type: str, batching: Batching) -> None:
    assert checked(small(model_type).model) == batching


class _WithFault:
    """A model whose logits pass through `fault`: (token ids [rows, length], logits) to logits."""

    def __init__(self, model: Any, fault: Any) -> None:
        self._model = model
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, token_ids: mx.array, cache: Sequence[Any]) -> mx.array:
        logits: mx.array = self._fault(token_ids, self._model(token_ids, cache=cache))
        return logits


def test_a_model_whose_rows_affect_each_other_is_not_batched() -> None:
    def mixed(_: mx.array, logits: mx.array) -> mx.array:
        return logits + 0.3 * mx.flip(logits, 0) if logits.shape[0] > 1 else logits

    def first_of_many(_: mx.array, logits: mx.array) -> mx.array:
        return mx.broadcast_to(logits[:1], logits.shape)

    model = small("llama").model
    for fault in (mixed, first_of_many):
        assert checked(_WithFault(model, fault)) == "none"


def test_requests_may_take_turns_if_all_that_is_theirs_is_in_the_caches() -> None:
    passed: list[mx.array] = [mx.zeros(1)]

    def with_the_last_pass(_: mx.array, logits: mx.array) -> mx.array:
        passed.append(logits[:, -1:])
        return logits + passed[-2]

    model = small("deepseek_v41").model
    faulty = _WithFault(model, with_the_last_pass)
    assert checked(model) == "none"
    assert keeps_apart(model, logits_alone(model))
    assert not keeps_apart(faulty, logits_alone(faulty))


def test_a_token_routed_to_another_expert_does_not_count_as_a_fault() -> None:
    logits = [mx.array([1.0, -2.0, 0.5]) for _ in range(3)]
    assert distance(logits, [logits[0] + 1.0, logits[1] - 0.01, logits[2] * 2.0]) == pytest.approx(0.005)
    assert distance(logits, [each + 1.0 for each in logits]) == pytest.approx(0.5)
    assert distance(logits, [each * float("nan") for each in logits]) == math.inf


def _half_precision(token_ids: mx.array, logits: mx.array) -> mx.array:
    """Noise that depends only on the shape of a pass, like that of a GPU's bfloat16 kernels."""
    seed = mx.random.key(token_ids.shape[0] * 100 + token_ids.shape[1])
    noise = 0.05 * mx.max(mx.abs(logits)) * mx.random.normal(logits.shape, key=seed)
    return (logits + noise).astype(mx.bfloat16)


def test_half_precision_noise_does_not_count_as_a_fault() -> None:
    assert checked(_WithFault(small("llama").model, _half_precision)) == "whole"


@pytest.mark.parametrize(("model_type", "batching"), [("mamba", "decoding"), ("gemma2", "none"), ("llama4", "none")])
def test_a_row_that_sees_other_rows_is_found_in_half_precision_too(model_type: str, batching: Batching) -> None:
    assert checked(_WithFault(small(model_type).model, _half_precision)) == batching
