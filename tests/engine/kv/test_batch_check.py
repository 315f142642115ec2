"""What a model does with several requests in one pass is found out by running it, and not believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import pytest

from pensieve.engine.kv.batch_check import Batching, batching_of, distance
from tests.engine.kv.models import small


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
def test_what_may_be_done_together(model_type: str, batching: Batching) -> None:
    assert batching_of(small(model_type).model) == batching


class _WithFault:
    """A model whose rows change each other where `fault` says so: token ids [rows, length] and logits to logits."""

    def __init__(self, model: Any, fault: Any) -> None:
        self._model = model
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, token_ids: mx.array, cache: Sequence[Any]) -> mx.array:
        logits: mx.array = self._fault(token_ids, self._model(token_ids, cache=cache))
        return logits


def test_rows_that_see_each_other_are_not_decoded_together() -> None:
    def mixed(_: mx.array, logits: mx.array) -> mx.array:
        return logits + 0.3 * mx.flip(logits, 0) if logits.shape[0] > 1 else logits

    def first_of_many(_: mx.array, logits: mx.array) -> mx.array:
        return mx.broadcast_to(logits[:1], logits.shape)

    model = small("llama").model
    for fault in (mixed, first_of_many):
        assert batching_of(_WithFault(model, fault)) == "none"


def test_a_token_that_goes_to_another_expert_is_no_fault() -> None:
    logits = [mx.array([1.0, -2.0, 0.5]) for _ in range(3)]
    assert distance(logits, [logits[0] + 1.0, logits[1] - 0.01, logits[2] * 2.0]) == pytest.approx(0.005)
    assert distance(logits, [each + 1.0 for each in logits]) == pytest.approx(0.5)
    assert distance(logits, [each * float("nan") for each in logits]) == math.inf


def _half_precision(token_ids: mx.array, logits: mx.array) -> mx.array:
    """Noise that depends on the shape of a pass alone, as that of a GPU's kernels in bfloat16 does."""
    seed = mx.random.key(token_ids.shape[0] * 100 + token_ids.shape[1])
    noise = 0.05 * mx.max(mx.abs(logits)) * mx.random.normal(logits.shape, key=seed)
    return (logits + noise).astype(mx.bfloat16)


def test_what_half_precision_does_to_a_batch_is_no_fault() -> None:
    assert batching_of(_WithFault(small("llama").model, _half_precision)) == "whole"


@pytest.mark.parametrize(("model_type", "batching"), [("mamba", "decoding"), ("gemma2", "none"), ("llama4", "none")])
def test_a_row_that_sees_what_is_not_its_own_is_found_in_half_precision_too(
    model_type: str, batching: Batching
) -> None:
    assert batching_of(_WithFault(small(model_type).model, _half_precision)) == batching
