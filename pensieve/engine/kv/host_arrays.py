"""Converts MLX arrays to bytes that any thread may hold, and back. Call on the thread that owns MLX."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
import numpy as np

from pensieve.engine.kv.blocks import HostArray

_UNSIGNED: Final = {1: mx.uint8, 2: mx.uint16, 4: mx.uint32, 8: mx.uint64}
"""By size in bytes. NumPy can view these in place, whatever type they stand in for."""


def to_host(arrays: Sequence[mx.array], part: tuple[slice, ...] = ()) -> list[HostArray]:
    """Copy the bytes of the same part of each array (all of it if `part` is empty). One copy, and none inside MLX."""
    views = [array.view(_UNSIGNED[array.dtype.size]) for array in arrays]
    mx.eval(views)
    copies = []
    for array, view in zip(arrays, views, strict=True):
        copied = np.array(np.asarray(view)[part], order="C")
        copies.append(HostArray(_name(array.dtype), copied.shape, copied.reshape(-1).view(np.uint8)))
    return copies


def _name(dtype: mx.Dtype) -> str:
    return str(dtype).rpartition(".")[2]


def from_host(array: HostArray) -> mx.array:
    """An array of these bytes, not yet evaluated.

    Raises:
        ValueError: the bytes do not match the type and shape.
    """
    dtype: Any = getattr(mx, array.dtype, None)
    if not isinstance(dtype, mx.Dtype):
        raise ValueError(f"unknown array type {array.dtype!r}")  # noqa: TRY004 - the value is wrong, not its type
    return mx.array(array.data).view(dtype).reshape(array.shape)
