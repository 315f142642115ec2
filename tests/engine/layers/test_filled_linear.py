"""A few tokens are multiplied as sixteen by large layers, where a CPU is faster at those."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import pytest
from mlx import nn

from pensieve.device.device import device_info
from pensieve.engine.layers import replace
from pensieve.engine.layers.filled_linear import (
    MIN_WEIGHTS,
    FilledEmbedding,
    FilledLinear,
    filled,
    filled_layers,
    sixteen_are_faster,
)
from pensieve.engine.layers.gated_mlp import GatedMLP
from tests.engine.support.tiny_modules import prompt, tiny_module

SIZE = 64


@pytest.mark.parametrize("shape", [(7, 1), (13, 1), (1, 9), (3, 5), (15,)])
def test_seven_to_fifteen_tokens_are_multiplied_as_sixteen(shape: Sequence[int]) -> None:
    values, multiplied = mx.random.normal((*shape, SIZE)), list[tuple[int, ...]]()

    def multiply(lines: mx.array) -> mx.array:
        multiplied.append(lines.shape)
        return lines * 2

    assert mx.array_equal(filled(multiply, values), values * 2)
    assert multiplied == [(16, SIZE)]


@pytest.mark.parametrize("shape", [(1, 1), (6, 1), (1, 16), (2, 9)])
def test_other_numbers_of_tokens_are_multiplied_as_they_are(shape: Sequence[int]) -> None:
    values = mx.random.normal((*shape, SIZE))
    assert filled(lambda lines: lines, values) is values


def test_large_layers_are_replaced_and_compute_the_same() -> None:
    linear, embedding = nn.Linear(SIZE, MIN_WEIGHTS // SIZE), nn.Embedding(MIN_WEIGHTS // SIZE, SIZE)
    small, half = nn.Linear(SIZE, SIZE), nn.Linear(SIZE, MIN_WEIGHTS // SIZE)
    half.set_dtype(mx.float16)
    layers = dict(filled_layers([("a", linear), ("b", embedding), ("c", small), ("d", half)]))
    values = mx.random.normal((13, 1, SIZE))
    assert {path: type(layer) for path, layer in layers.items()} == {"a": FilledLinear, "b": FilledEmbedding}
    assert mx.allclose(layers["a"](values), linear(values), atol=1e-5)
    assert mx.allclose(layers["b"].as_linear(values), embedding.as_linear(values), atol=1e-5)
    assert mx.array_equal(layers["b"](mx.array([3])), embedding(mx.array([3])))


@pytest.mark.skipif(device_info().backend != "cpu", reason="these layers are for CPUs")
@pytest.mark.parametrize("are_faster", [True, False])
def test_a_model_gets_them_where_they_are_faster(monkeypatch: pytest.MonkeyPatch, *, are_faster: bool) -> None:
    monkeypatch.setattr("pensieve.engine.layers.filled_linear.MIN_WEIGHTS", 1)
    monkeypatch.setattr(replace, "sixteen_are_faster", lambda: are_faster)
    monkeypatch.setattr(replace, "powers_are_faster", lambda: True)
    model = tiny_module("llama").model
    tokens = mx.array([prompt(9, 1)])
    expected = model(tokens)
    replace.replace_layers(model)
    modules = [module for _, module in model.named_modules()]
    mlps = [module for module in modules if type(module) is GatedMLP]
    assert (FilledLinear in map(type, modules)) == are_faster
    assert {type(mlp.up_proj) is FilledLinear for mlp in mlps} == {are_faster}
    assert mx.allclose(model(tokens), expected, atol=1e-4)


def test_which_is_faster_is_found_out_once() -> None:
    assert sixteen_are_faster() is sixteen_are_faster()
