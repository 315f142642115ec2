"""Multiplies the tokens of all rows by a layer's packed weights at once, on CUDA.

There, `mx.quantized_matmul` (mlx 0.32) computes tokens [rows, 1, size] as that many products, each of which reads the
weights. The same tokens as [rows, size] are one product. Below eight tokens it multiplies them one by one even then,
while eight take no longer than five: so five to seven are filled up with zeros.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.quantized import QuantizedEmbedding, QuantizedLinear

from pensieve.device.recast import recast

_FILLED_UP: Final = range(5, 8)
"""The numbers of tokens that take longer than eight."""


def at_once(multiply: Callable[[mx.array], mx.array], values: mx.array) -> mx.array:
    """Apply `multiply` to values [rows, tokens, size] as a matrix, one line for each token."""
    *shape, size = values.shape
    num_tokens = values.size // size
    if len(shape) < 2 or (shape[0] == 1 and num_tokens not in _FILLED_UP):
        return multiply(values)
    lines = values.reshape(num_tokens, size)
    if num_tokens in _FILLED_UP:
        lines = mx.pad(lines, [(0, _FILLED_UP.stop - num_tokens), (0, 0)])
    return multiply(lines)[:num_tokens].reshape(*shape, -1)


class FlatLinear(QuantizedLinear):  # type: ignore[misc]  # MLX gives its layers no types
    def __call__(self, values: mx.array) -> mx.array:
        return at_once(super().__call__, values)


class FlatEmbedding(QuantizedEmbedding):  # type: ignore[misc]  # MLX gives its layers no types
    def as_linear(self, values: mx.array) -> mx.array:
        return at_once(super().as_linear, values)


_FLAT: Final = {QuantizedLinear: FlatLinear, QuantizedEmbedding: FlatEmbedding}


def flat_layers(modules: Sequence[tuple[str, Any]]) -> list[tuple[str, Module]]:
    """Layers to put in the place of a model's packed ones, by path. They share their weights."""
    return [(path, recast(module, _FLAT[type(module)])) for path, module in modules if type(module) in _FLAT]
