"""Layers that multiply the tokens of all rows at once compute what mlx-lm's layers do."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_unflatten

from pensieve.engine.layers.flat_linear import MANY_TOKENS, FlatEmbedding, FlatLinear, at_once, flat_layers
from pensieve.engine.layers.output_head import OutputHead
from tests.engine.support.tiny_modules import tiny_module


@pytest.mark.parametrize(
    ("shape", "multiplied"),
    [
        ((16, 1, 4), (16, 4)),
        ((2, 3, 4), (8, 4)),
        ((6, 1, 4), (8, 4)),
        ((4, 1, 4), (4, 4)),
        ((1, 7, 4), (8, 4)),
        ((1, 9, 4), (1, 9, 4)),
        ((1, 1, 4), (1, 1, 4)),
        ((6, 4), (6, 4)),
    ],
)
def test_tokens_of_all_rows_are_one_matrix_of_few_or_at_least_eight_lines(
    shape: tuple[int, ...], multiplied: tuple[int, ...]
) -> None:
    seen = []

    def multiply(values: mx.array) -> mx.array:
        seen.append(values.shape)
        return values @ mx.ones((4, 3))

    values = mx.random.normal(shape)
    output = at_once(multiply, values)
    assert seen == [multiplied]
    np.testing.assert_allclose(np.array(output), np.array(values @ mx.ones((4, 3))), rtol=1e-6)


@pytest.mark.parametrize("is_tied", [False, True])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (3, 1), (5, 1), (2, 3), (9, 2)])
def test_a_model_computes_the_same_with_them(shape: tuple[int, int], *, is_tied: bool) -> None:
    model = tiny_module("gemma3_text" if is_tied else "llama").model
    nn.quantize(model, 32, 4, class_predicate=lambda _, module: hasattr(module, "to_quantized"))
    OutputHead.of(model)
    tokens = mx.random.randint(0, 128, shape)
    names, expected = [name for name, _ in model.named_modules()], np.array(model(tokens))
    model.update_modules(tree_unflatten(flat_layers(model.named_modules())))
    kinds = {type(module) for _, module in model.named_modules()}
    assert (FlatEmbedding in kinds, FlatLinear in kinds) == (True, True)
    assert not kinds & {nn.QuantizedLinear, nn.QuantizedEmbedding}
    assert sorted(name for name, _ in model.named_modules()) == sorted(names)
    np.testing.assert_allclose(np.array(model(tokens)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
@pytest.mark.parametrize("has_bias", [False, True])
def test_many_tokens_are_multiplied_as_by_packed_weights(dtype: mx.Dtype, *, has_bias: bool) -> None:
    linear = nn.Linear(128, 40, bias=has_bias)
    linear.set_dtype(dtype)
    packed = linear.to_quantized(64, 4)
    ((_, layer),) = flat_layers([("", packed)])
    values = mx.random.normal((2, MANY_TOKENS // 2, 128)).astype(dtype)
    expected = np.array(packed(values).astype(mx.float32))
    actual = layer(values)
    assert actual.dtype == dtype
    assert np.linalg.norm(np.array(actual.astype(mx.float32)) - expected) < 2e-2 * np.linalg.norm(expected)
