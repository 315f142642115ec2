"""Layers that rotate by a matrix compute what a model's rotary embeddings do."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_unflatten

from pensieve.device.device import device_info
from pensieve.device.mlx_lm.positions import POSITIONS
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.layers.rotation import MAX_TOKENS, Rotation, RotationLayer, rotation_layers
from tests.engine.kv.models import small
from tests.engine.support.tiny_modules import prompt

pytestmark = pytest.mark.skipif(device_info().backend != "cpu", reason="these layers are for CPUs")

LENGTHS = (3, 1000, 17)
ROPES = {
    "plain": nn.RoPE(16),
    "of pairs": nn.RoPE(16, traditional=True),
    "of a part": nn.RoPE(8),
    "scaled": nn.RoPE(16, scale=0.25, base=1e6),
}


class CountedRope(nn.Module):  # type: ignore[misc]  # MLX gives its layers no types
    def __init__(self) -> None:
        super().__init__()
        self.rope = nn.RoPE(16)
        self.num_calls = 0

    def __call__(self, vectors: mx.array, offset: Any = 0) -> mx.array:
        self.num_calls += 1
        rotated: mx.array = self.rope(vectors, offset=offset)
        return rotated


@pytest.mark.parametrize("name", ROPES)
@pytest.mark.parametrize("num_tokens", [1, 2, 5])
def test_it_rotates_as_the_embedding_does(name: str, num_tokens: int) -> None:
    rope = ROPES[name]
    vectors = mx.random.normal((3, 4, num_tokens, 16), key=mx.random.key(0))
    positions = POSITIONS.array(LENGTHS)
    rotated = RotationLayer(Rotation(rope))(vectors, offset=positions)
    np.testing.assert_allclose(np.array(rotated), np.array(rope(vectors, offset=positions)), atol=1e-5)


def test_a_single_row_has_a_number_as_its_position() -> None:
    vectors = mx.random.normal((1, 4, 2, 16), key=mx.random.key(0))
    rotated = RotationLayer(Rotation(ROPES["plain"]))(vectors, offset=99)
    np.testing.assert_allclose(np.array(rotated), np.array(ROPES["plain"](vectors, offset=99)), atol=1e-5)


def test_layers_share_the_matrices_of_a_step() -> None:
    rope = CountedRope()
    layers = [RotationLayer(rotation) for rotation in [Rotation(rope)] * 3]
    vectors = mx.random.normal((3, 4, 1, 16), key=mx.random.key(0))
    for lengths in (LENGTHS, tuple(length + 1 for length in LENGTHS)):
        for layer in layers:
            layer(vectors, offset=POSITIONS.array(lengths))
    assert rope.num_calls == 2


def test_positions_that_may_change_are_not_remembered() -> None:
    """mlx-lm's batch caches count on in the same array."""
    rope = CountedRope()
    layer = RotationLayer(Rotation(rope))
    vectors = mx.random.normal((3, 4, 1, 16), key=mx.random.key(0))
    positions = mx.array(LENGTHS)
    before = layer(vectors, offset=positions)
    positions += 5
    assert not mx.allclose(layer(vectors, offset=positions), before)
    assert mx.array_equal(layer(vectors, offset=positions), rope.rope(vectors, offset=positions))


def test_many_tokens_are_rotated_directly() -> None:
    rope = CountedRope()
    layer = RotationLayer(Rotation(rope))
    for _ in range(2):
        layer(mx.zeros((1, 4, MAX_TOKENS + 1, 16)), offset=5)
    assert rope.num_calls == 2


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma3_text", "gpt_oss", "deepseek_v3", "qwen3_5"])
def test_a_model_computes_the_same_with_them(model_type: str) -> None:
    model = small(model_type).model
    tokens = mx.array([prompt(6, 1)])
    expected = model(tokens)
    layers = rotation_layers(model.named_modules())
    assert layers
    model.update_modules(tree_unflatten(layers))
    assert mx.allclose(model(tokens), expected, atol=1e-4)


def test_rows_of_a_model_decode_the_same_with_them() -> None:
    model = small("llama").model
    prompts = [prompt(9, 1), prompt(5, 2)]

    def decoded() -> mx.array:
        rows: list[list[RowKV]] = [[RowKV() for _ in model.layers] for _ in prompts]
        for row, tokens in zip(rows, prompts, strict=True):
            model(mx.array([tokens]), cache=[RowsKV([each]) for each in row])
        batch = [RowsKV(list(layer)) for layer in zip(*rows, strict=True)]
        return mx.concatenate([model(mx.array([[1], [2]]), cache=batch) for _ in range(3)], axis=1)

    expected = decoded()
    model.update_modules(tree_unflatten(rotation_layers(model.named_modules())))
    assert mx.allclose(decoded(), expected, atol=1e-4)


class Bent(nn.Module):  # type: ignore[misc]  # MLX gives its layers no types
    """Not linear."""

    def __call__(self, vectors: mx.array, offset: Any = 0) -> mx.array:  # noqa: ARG002 - a rope's signature
        return mx.square(vectors)


def test_an_embedding_that_is_not_linear_stays() -> None:
    assert rotation_layers([("layers.0.rope", Bent())]) == []


def test_layers_that_rotate_alike_share_their_matrices() -> None:
    ropes = [nn.RoPE(16), nn.RoPE(16), nn.RoPE(16, base=1e6)]
    layers = rotation_layers([(f"layers.{index}.rope", rope) for index, rope in enumerate(ropes)])
    first, second, other = (layer.rotation for _, layer in layers)
    assert first is second
    assert first is not other
