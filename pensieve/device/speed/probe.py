"""Measures how fast this machine runs inference, in at most ten seconds (U3).

It measures what MLX achieves rather than what the hardware could: products of a matrix and a vector, as in decoding,
with matrices larger than any cache; products of matrices, as in prefill; attention; and small operations in sequence,
whose overhead dominates. Weights are packed if models keep them packed on this device.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pensieve.core.fit.roofline import DeviceRates
from pensieve.device.device import device_info

if TYPE_CHECKING:
    import mlx.core as mx

MAX_SECONDS: Final = 10.0
_MAX_REPEATS: Final = 30
_GROUP, _BITS = 64, 4
_HEADS, _HEAD_SIZE = 16, 64
_CONTEXT_TOKENS: Final = 1024
_NUM_OPERATIONS: Final = 240


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Sizes as in models that suit the device: larger than its caches, and computed in a fraction of a second."""

    width: int
    num_matrices: int
    prompt_tokens: int


_SIZES: Final = {"cpu": _Sizes(1024, 64, 128), "metal": _Sizes(4096, 48, 512), "cuda": _Sizes(4096, 128, 1024)}


def measure_rates(report: Callable[[str], None], max_seconds: float = MAX_SECONDS) -> DeviceRates:
    """Measure the rates and `report` each part. Call this on the thread that may use MLX.

    Each figure is the best of several, because disturbances only ever make a measurement slower.
    """
    backend = device_info().backend
    sizes, each_seconds = _SIZES[backend], max_seconds / 8  # four parts, each with a warm-up
    report("Measuring how fast this machine is (once; ten seconds at most): memory,")
    bandwidth = _bandwidth(sizes, each_seconds, packed=backend != "cpu")
    report("  arithmetic,")
    flops = _flops(sizes, each_seconds, packed=backend != "cpu")
    report("  attention,")
    attention = _attention_flops(sizes, each_seconds)
    report("  and small operations.")
    return DeviceRates(bandwidth, flops, attention, operation_seconds=_operation_seconds(each_seconds))


class _Matrix:
    """A matrix in the form in which models keep weights on this device."""

    def __init__(self, width: int, *, packed: bool) -> None:
        import mlx.core as mx  # noqa: PLC0415 - after the BLAS

        dense = mx.random.normal((width, width), dtype=mx.float16 if packed else mx.float32) / width**0.5
        self._parts = mx.quantize(dense, group_size=_GROUP, bits=_BITS) if packed else [dense]
        mx.eval(self._parts)
        self.num_bytes = sum(part.nbytes for part in self._parts)

    def times(self, rows: mx.array) -> mx.array:
        import mlx.core as mx  # noqa: PLC0415 - after the BLAS

        if len(self._parts) == 1:
            dense: mx.array = rows @ self._parts[0].T
            return dense
        codes, scales, biases = self._parts
        product: mx.array = mx.quantized_matmul(
            rows, codes, scales, biases, transpose=True, group_size=_GROUP, bits=_BITS
        )
        return product


def _bandwidth(sizes: _Sizes, seconds: float, *, packed: bool) -> float:
    import mlx.core as mx  # noqa: PLC0415 - after the BLAS

    matrices = [_Matrix(sizes.width, packed=packed) for _ in range(sizes.num_matrices)]
    row = mx.ones((1, sizes.width), dtype=mx.float16 if packed else mx.float32)

    def run() -> None:
        product = row
        for matrix in matrices:
            product = matrix.times(product)
        mx.eval(product)

    return sum(matrix.num_bytes for matrix in matrices) / _best_seconds(run, seconds)


def _flops(sizes: _Sizes, seconds: float, *, packed: bool) -> float:
    import mlx.core as mx  # noqa: PLC0415 - after the BLAS

    matrix = _Matrix(sizes.width, packed=packed)
    rows = mx.ones((sizes.prompt_tokens, sizes.width), dtype=mx.float16 if packed else mx.float32)
    mx.eval(rows)
    return 2 * sizes.prompt_tokens * sizes.width**2 / _best_seconds(lambda: mx.eval(matrix.times(rows)), seconds)


def _attention_flops(sizes: _Sizes, seconds: float) -> float:
    """A prefill chunk against a context. Masked positions do not count."""
    import mlx.core as mx  # noqa: PLC0415 - after the BLAS

    dtype = mx.float32 if device_info().backend == "cpu" else mx.float16
    chunk = min(sizes.prompt_tokens, _CONTEXT_TOKENS)
    queries = mx.ones((1, _HEADS, chunk, _HEAD_SIZE), dtype=dtype)
    keys = mx.ones((1, _HEADS, _CONTEXT_TOKENS, _HEAD_SIZE), dtype=dtype)
    mx.eval(queries, keys)

    def run() -> None:
        mx.eval(mx.fast.scaled_dot_product_attention(queries, keys, keys, scale=0.125, mask="causal"))

    pairs = chunk * (_CONTEXT_TOKENS - chunk / 2)
    return 2 * _HEADS * 2 * _HEAD_SIZE * pairs / _best_seconds(run, seconds)


def _operation_seconds(seconds: float) -> float:
    """Alternating norms and sums of one token's size."""
    import mlx.core as mx  # noqa: PLC0415 - after the BLAS

    row, weight = mx.ones((1, 1, 1024)), mx.ones((1024,))
    mx.eval(row, weight)

    def run() -> None:
        changed = row
        for _ in range(_NUM_OPERATIONS // 2):
            changed = mx.fast.rms_norm(changed, weight, 1e-5) + row
        mx.eval(changed)

    return _best_seconds(run, seconds) / _NUM_OPERATIONS


def _best_seconds(run: Callable[[], None], max_seconds: float) -> float:
    """The shortest run, after a first one that compiles and loads."""
    began = time.perf_counter()
    run()
    best = float("inf")
    for _ in range(_MAX_REPEATS):
        before = time.perf_counter()
        run()
        after = time.perf_counter()
        best = min(best, after - before)
        if after - began > max_seconds:
            break
    return best
