"""Attention with sinks computes the same with rows, and other layers are left alone."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from pensieve.device.recast import recast
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.layers.sink_attention import sink_attentions
from pensieve.engine.kv.rows.row import RowKV
from tests.engine.kv.models import small


@pytest.fixture(scope="module")
def attention() -> Any:
    return small("gpt_oss").model.model.layers[1].self_attn


def test_rows_of_any_length_get_what_each_gets_alone(attention: Any) -> None:
    ((path, layer),) = sink_attentions([("self_attn", attention)])
    assert path == "self_attn"
    assert layer.sinks is attention.sinks
    size = attention.o_proj.bias.shape[0]
    held = [mx.random.normal((1, length, size)) for length in (3, 50)]
    new = mx.random.normal((2, 1, size))
    rows = [RowKV(), RowKV()]
    for row, values in zip(rows, held, strict=True):
        layer(values, cache=RowsKV([row]))
    together = layer(new, cache=RowsKV(rows))
    for index, values in enumerate(held):
        alone = attention(mx.concatenate([values, new[index : index + 1]], axis=1), "causal")[:, -1:]
        assert mx.allclose(together[index : index + 1], alone, atol=1e-5)


def test_a_layer_that_computes_something_else_is_left_alone(attention: Any) -> None:
    class Doubled(type(attention)):  # type: ignore[misc]  # MLX gives its layers no types
        def __call__(self, *values: Any) -> Any:
            return 2 * super().__call__(*values)

    doubled = recast(attention, Doubled)
    assert sink_attentions([("self_attn", doubled), ("rope", attention.rope)]) == []
