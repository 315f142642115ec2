"""Multiplies the tokens of all rows by a layer's packed weights at once, on CUDA.

- A few tokens are multiplied by `packed_product`, where it serves the layer.
- Otherwise `mx.quantized_matmul` (mlx 0.32) computes tokens [rows, 1, size] as that many products, each of which reads
  the weights. The same tokens as [rows, size] are one product. Below eight tokens it multiplies them one by one even
  then, while eight take no longer than five: so five to seven are filled up with zeros.
- By many tokens the weights are unpacked, for each product again: cuBLAS multiplies faster. 2,048 tokens by 11008 x
  4096 weights took 1.36 ms packed, and 0.37 ms in this way; 512 tokens 0.36 and 0.17 ms (an H200).

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import mlx.core as mx
from mlx.nn.layers.base import Module
from mlx.nn.layers.quantized import QuantizedEmbedding, QuantizedLinear

from pensieve.device.recast import recast
from pensieve.engine.layers.packed_product import multiplies_at_once, product

_FILLED_UP: Final = range(5, 8)
"""The numbers of tokens that take longer than eight."""
MANY_TOKENS: Final = 256
"""For this number and more, weights are unpacked."""
_HALF: Final = (mx.float16, mx.bfloat16)


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


def multiplied(layer: Any, values: mx.array, multiply: Callable[[mx.array], mx.array]) -> mx.array:
    """Values [..., inputs] by a packed layer's weights. `multiply` is MLX's way, with the layer's bias."""
    if values.size == values.shape[-1]:  # one token, of which each microsecond counts: a pass has hundreds of products
        return multiply(values)
    if multiplies_at_once(layer, values):
        return _with_bias(layer, product(layer, values))
    if values.size >= MANY_TOKENS * values.shape[-1] and values.dtype == layer.scales.dtype and values.dtype in _HALF:
        return _with_bias(layer, values @ _unpacked(layer).T)
    return at_once(multiply, values)


def _unpacked(layer: Any) -> mx.array:
    """[outputs, inputs]"""
    return mx.dequantize(
        layer.weight,
        layer.scales,
        layer.get("biases"),
        group_size=layer.group_size,
        bits=layer.bits,
        mode=layer.mode,
    )


def _with_bias(layer: Any, output: mx.array) -> mx.array:
    return output + layer.bias if "bias" in layer else output


class FlatLinear(QuantizedLinear):  # type: ignore[misc]  # MLX gives its layers no types
    def __call__(self, values: mx.array) -> mx.array:
        return multiplied(self, values, super().__call__)


class FlatEmbedding(QuantizedEmbedding):  # type: ignore[misc]  # MLX gives its layers no types
    def as_linear(self, values: mx.array) -> mx.array:
        return multiplied(self, values, super().as_linear)


_FLAT: Final = {QuantizedLinear: FlatLinear, QuantizedEmbedding: FlatEmbedding}


def flat_layers(modules: Sequence[tuple[str, Any]]) -> list[tuple[str, Module]]:
    """Layers to put in the place of a model's packed ones, by path. They share their weights."""
    return [(path, recast(module, _FLAT[type(module)])) for path, module in modules if type(module) in _FLAT]
