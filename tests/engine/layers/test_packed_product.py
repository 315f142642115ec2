"""A few tokens are multiplied by packed weights as MLX multiplies them. What needs CUDA is skipped without it."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

from pensieve.device.device import device_info
from pensieve.engine.layers.flat_linear import FlatLinear, flat_layers
from pensieve.engine.layers.packed_product import multiplies_at_once

needs_cuda = pytest.mark.skipif(device_info().backend != "cuda", reason="the kernel is for CUDA")


def packed_layer(
    num_inputs: int, num_outputs: int, dtype: mx.Dtype, *, group_size: int = 64, bits: int = 4
) -> FlatLinear:
    layer = nn.Linear(num_inputs, num_outputs)
    layer.set_dtype(dtype)
    ((_, flat),) = flat_layers([("layer", layer.to_quantized(group_size, bits))])
    assert isinstance(flat, FlatLinear)
    return flat


@needs_cuda
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16])
@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(4096, 4096), (2880, 1000), (128, 33), (1024, 32256)])
@pytest.mark.parametrize("shape", [(2, 1), (1, 7), (5, 1), (2, 3)])
def test_few_tokens_are_multiplied_as_by_unpacked_weights(
    dtype: mx.Dtype, num_inputs: int, num_outputs: int, shape: tuple[int, int]
) -> None:
    mx.random.seed(1)
    layer = packed_layer(num_inputs, num_outputs, dtype)
    values = mx.random.normal((*shape, num_inputs)).astype(dtype)
    assert multiplies_at_once(layer, values)
    weights = mx.dequantize(layer.weight, layer.scales, layer.biases, group_size=64, bits=4)
    wide = [np.array(each.astype(mx.float32), np.float64) for each in (values, weights, layer.bias, layer(values))]
    expected = wide[0] @ wide[1].T + wide[2]
    assert wide[3].shape == expected.shape
    error = np.linalg.norm(wide[3] - expected) / np.linalg.norm(expected)
    assert error < {mx.float16: 2e-3, mx.bfloat16: 1e-2}[dtype]


def test_what_the_kernel_is_not_written_for_is_left_to_mlx() -> None:
    def is_served(layer: FlatLinear, *shape: int, dtype: mx.Dtype = mx.float16) -> bool:
        return multiplies_at_once(layer, mx.zeros(shape, dtype))

    layer = packed_layer(128, 64, mx.float16)
    assert is_served(layer, 4, 1, 128) == (device_info().backend == "cuda")
    assert not is_served(layer, 1, 1, 128), "one token"
    assert not is_served(layer, 8, 1, 128), "eight tokens"
    assert not is_served(layer, 4, 1, 128, dtype=mx.float32), "mixed precisions"
    assert not is_served(packed_layer(128, 64, mx.float32), 4, 1, 128, dtype=mx.float32), "full precision"
    assert not is_served(packed_layer(128, 64, mx.float16, bits=8), 4, 1, 128), "eight bits"
