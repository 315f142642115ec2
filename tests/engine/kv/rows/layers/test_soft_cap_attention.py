"""Attention with capped scores computes the same with rows of any length."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from pensieve.engine.kv.causal_attention import window_mask
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.layers.soft_cap_attention import soft_cap_attentions
from pensieve.engine.kv.rows.row import RowKV
from tests.engine.kv.models import small


@pytest.fixture(scope="module")
def attention() -> Any:
    layer = small("gemma2").model.model.layers[1].self_attn
    layer.attn_logit_softcapping = 0.5  # so that it matters for the scores of random weights
    return layer


@pytest.mark.parametrize("by_powers", [True, False])
@pytest.mark.parametrize("num_new", [1, 5])
def test_rows_of_any_length_get_what_each_gets_alone(
    attention: Any, num_new: int, monkeypatch: pytest.MonkeyPatch, *, by_powers: bool
) -> None:
    monkeypatch.setattr("pensieve.engine.kv.causal_attention.powers_are_faster", lambda: by_powers)
    ((_, layer),) = soft_cap_attentions([("self_attn", attention)])
    size = attention.o_proj.weight.shape[0]
    held = [mx.random.normal((1, length, size)) for length in (3, 50)]
    new = mx.random.normal((2, num_new, size))
    rows = [RowKV(), RowKV()]
    for row, values in zip(rows, held, strict=True):
        layer(values, cache=RowsKV([row]))
    together = layer(new, cache=RowsKV(rows))
    for index, values in enumerate(held):
        both = mx.concatenate([values, new[index : index + 1]], axis=1)
        alone = attention(both, window_mask(both.shape[1], both.shape[1], both.shape[1]))[:, -num_new:]
        assert mx.allclose(together[index : index + 1], alone, atol=1e-5)
