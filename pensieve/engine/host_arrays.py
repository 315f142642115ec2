"""MLX's arrays as bytes that any thread may hold, and back again. On the thread that owns MLX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from pensieve.engine.kv_file import HostArray


def to_host(arrays: Sequence[mx.array]) -> list[HostArray]:
    """Copies of the arrays' bytes."""
    flat = [mx.contiguous(array).reshape(-1).view(mx.uint8) for array in arrays]
    mx.eval(flat)
    return [
        HostArray(str(array.dtype).rpartition(".")[2], tuple(array.shape), np.array(data, np.uint8))
        for array, data in zip(arrays, flat, strict=True)
    ]


def from_host(array: HostArray) -> mx.array:
    """An array of those bytes, not evaluated yet.

    Raises:
        ValueError: bytes, type and shape do not belong together.
    """
    dtype: Any = getattr(mx, array.dtype, None)
    if not isinstance(dtype, mx.Dtype):
        raise ValueError(f"{array.dtype} is no type of array")  # noqa: TRY004 - it is the text that is wrong
    return mx.array(array.data).view(dtype).reshape(array.shape)
