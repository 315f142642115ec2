"""What a model does with several requests in one pass is found out by running it, and not believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import pytest

from pensieve.engine.kv.together import Batching, batching_of, rows_agree
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
    assert rows_agree(logits, [logits[0] + 1.0, logits[1] - 0.01, logits[2] * 2.0])
    assert not rows_agree(logits, [each + 1.0 for each in logits])
    assert not rows_agree(logits, [each * float("nan") for each in logits])
