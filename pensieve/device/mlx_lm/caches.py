"""mlx-lm's caches, for every other package. Importing this imports mlx-lm, in half a second."""

from __future__ import annotations

from typing import Any

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm

import_mlx_lm()

from mlx_lm.models import cache  # noqa: E402 - only after import_mlx_lm
from mlx_lm.models.cache import (  # noqa: E402
    ArraysCache,
    BatchKVCache,
    CacheList,
    ChunkedKVCache,
    KVCache,
    RotatingKVCache,
    TokenBuffer,
)

__all__ = [
    "ArraysCache",
    "BatchKVCache",
    "CacheList",
    "ChunkedKVCache",
    "KVCache",
    "RotatingKVCache",
    "TokenBuffer",
    "new_caches",
    "restorable_classes",
]


def new_caches(model: Any) -> list[Any]:
    """Empty caches for one request to a model, one for each layer."""
    caches: list[Any] = cache.make_prompt_cache(model)
    return caches


def restorable_classes() -> dict[str, type]:
    """The classes of caches that can be restored from their state, by name."""
    return {name: each for name, each in vars(cache).items() if isinstance(each, type) and hasattr(each, "from_state")}
