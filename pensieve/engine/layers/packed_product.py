"""Products of two to seven tokens and packed weights, in a kernel of our own, on CUDA.

There, `mx.quantized_matmul` (mlx 0.32) multiplies fewer than eight tokens one by one, and reads all weights for each.
On an H200, four tokens took 112 microseconds by 11008 x 4096 weights, and take 37 in this kernel; for eight and more
MLX's own is as fast. Before weights of a kind are first multiplied in this way, which is while a model is loaded, the
kernel is compared with MLX's operation (`pensieve.device.checked_kernels`).

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import hashlib
from functools import cache, lru_cache, partial
from typing import Any, Final, NamedTuple

import mlx.core as mx

from pensieve.device.checked_kernels import CHECKED_KERNELS
from pensieve.device.device import device_info
from pensieve.engine.layers.packed_kernel import HEADER, SOURCE

FEW_TOKENS: Final = range(2, 8)
"""The numbers of tokens for which the kernel is used."""
_THREADS: Final = 256
_OUTPUTS: Final = 32
"""What a group of threads computes."""
_INPUTS: Final = 32
"""The number of inputs has to be a multiple of it: they are read in pieces of 16 bytes of codes."""
_TOLERANCES: Final = {mx.float16: 1e-2, mx.bfloat16: 4e-2}
"""The largest difference to MLX's operation, relative to its largest number."""


class PackedKind(NamedTuple):
    """What the kernel is compiled for."""

    dtype: mx.Dtype
    group_size: int

    @property
    def name(self) -> str:
        return (
            f"few tokens by 4-bit weights in groups of {self.group_size}, {str(self.dtype).removeprefix('mlx.core.')}"
        )


def multiplies_at_once(layer: Any, values: mx.array) -> bool:
    """Whether to use the kernel for a packed layer of MLX's. The first time, it is compared with MLX's operation."""
    if values.size // values.shape[-1] not in FEW_TOKENS or not _can_be_served(layer, values):
        return False
    kind = PackedKind(values.dtype, layer.group_size)
    return CHECKED_KERNELS.serves(kind.name, partial(_is_exact, kind))


def _can_be_served(layer: Any, values: mx.array) -> bool:
    is_packed = layer.mode == "affine" and layer.bits == 4 and layer.group_size % _INPUTS == 0
    is_alike = values.dtype == layer.scales.dtype and values.dtype in _TOLERANCES
    return bool(device_info().backend == "cuda" and is_packed and is_alike and values.shape[-1] % _INPUTS == 0)


def product(layer: Any, values: mx.array) -> mx.array:
    """Values [..., inputs] by a packed layer's weights: [..., outputs], without the layer's bias."""
    return _product(values, (layer.weight, layer.scales, layer.biases), layer.group_size)


def _product(values: mx.array, packed: tuple[mx.array, mx.array, mx.array], group_size: int) -> mx.array:
    output: mx.array
    *shape, num_inputs = values.shape
    num_tokens, num_outputs = values.size // num_inputs, int(packed[0].shape[0])
    (output,) = _kernel()(
        inputs=[values, *packed, _sizes(num_tokens, num_outputs, num_inputs)],
        template=[("T", values.dtype), ("BF16", values.dtype == mx.bfloat16), ("GROUP", group_size)],
        grid=(-(-num_outputs // _OUTPUTS) * _THREADS, 1, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[(*shape, num_outputs)],
        output_dtypes=[values.dtype],
    )
    return output


@lru_cache(maxsize=1024)
def _sizes(*numbers: int) -> mx.array:
    return mx.array(numbers, mx.int32)


@cache
def _kernel() -> Any:
    """MLX keeps compiled CUDA kernels by name, also on disk, so the name depends on the source."""
    digest = hashlib.sha256((HEADER + SOURCE).encode()).hexdigest()[:12]
    names = ["values", "weights", "scales", "biases", "sizes"]
    return mx.fast.cuda_kernel(
        name=f"packed_product_{digest}", input_names=names, output_names=["out"], source=SOURCE, header=HEADER
    )


def _is_exact(kind: PackedKind) -> bool:
    """Whether the kernel, which this compiles, computes what MLX's operation does."""
    return all(_matches(kind, num_tokens) for num_tokens in (2, 7))


def _matches(kind: PackedKind, num_tokens: int) -> bool:
    """Compare random weights of odd sizes, and more inputs than one group of threads takes at once."""
    num_outputs, num_inputs = 72, 17 * kind.group_size
    weights = mx.random.normal((num_outputs, num_inputs), key=mx.random.key(1)).astype(kind.dtype)
    values = mx.random.normal((num_tokens, num_inputs), key=mx.random.key(2)).astype(kind.dtype)
    codes, scales, biases = mx.quantize(weights, group_size=kind.group_size, bits=4)
    expected = mx.quantized_matmul(values, codes, scales, biases, group_size=kind.group_size, bits=4)
    difference = mx.max(mx.abs(_product(values, (codes, scales, biases), kind.group_size) - expected))
    return bool(difference <= _TOLERANCES[kind.dtype] * mx.max(mx.abs(expected)))
