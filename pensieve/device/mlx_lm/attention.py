"""Lets a cache attend by itself: the one function of mlx-lm that is replaced.

A model passes its cache to `mlx_lm.models.base.scaled_dot_product_attention`, which each model's module has imported by
name. For a cache with `bits` it calls `quantized_scaled_dot_product_attention` of its own module, and that is where
caches that attend by themselves are recognised. mlx-lm has no other seam; `tests/device/mlx_lm/test_attention.py` fails
if a new version takes this one away.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cache
from typing import Any

import mlx.core as mx

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm


class AttendingKeys:
    """Stands for keys, or for keys and values, in a model's attention, and attends by itself."""

    @abstractmethod
    def attend(self, queries: mx.array, scale: float, *, mask: Any = None, values: Any = None) -> mx.array:
        """Attention of the tokens added last, queries [rows, query heads, tokens, size], to all tokens before.

        `mask` and `values` are what the model gives its attention.
        """


class AttendingCache(AttendingKeys):
    """A batch cache whose `update_and_fetch` returns itself as keys, and as values too if it likes."""

    bits = group_size = 0
    """mlx-lm calls its quantised attention because these attributes exist."""


@cache
def quantized_attention() -> Callable[..., mx.array]:
    """mlx-lm's own quantised attention. The first call puts another function in its place, for the whole process."""
    import_mlx_lm()
    from mlx_lm.models import base  # noqa: PLC0415 - only after import_mlx_lm

    original: Callable[..., mx.array] = base.quantized_scaled_dot_product_attention

    def attention(queries: mx.array, keys: Any, values: Any, scale: float, mask: Any, **options: Any) -> mx.array:
        if isinstance(keys, AttendingKeys):
            return keys.attend(queries, scale, mask=mask, values=values)
        return original(queries, keys, values, scale=scale, mask=mask, **options)

    base.quantized_scaled_dot_product_attention = attention
    return original
