"""Lets mlx-lm's BatchGenerator decode one request at a time, with caches of any kind.

BatchGenerator converts every request's caches to batch caches, even for a single request. Some caches have no such form
(Llama 4's chunks), and some models compute different results with it. Here a request keeps its own caches.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx


class SingleKV:
    """One layer's cache of the only request, with the batch cache methods that BatchGenerator calls."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def __deepcopy__(self, _: dict[int, Any]) -> SingleKV:
        """mlx-lm copies a batch to split it; the row then belongs to one of the two."""
        return SingleKV(self.cache)

    @classmethod
    def merge(cls, rows: Sequence[SingleKV]) -> SingleKV:
        (row,) = rows
        return row

    def filter(self, _: Sequence[int]) -> None:
        """Keeps the row: a batch without rows drops its caches by itself."""

    def extract(self, _: int) -> Any:
        return self.cache

    @property
    def state(self) -> Any:
        return self.cache.state

    @property
    def nbytes(self) -> int:
        return int(self.cache.nbytes)


class SingleRequestModel:
    """A model that BatchGenerator can call, which passes the request's own caches on."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, token_ids: mx.array, cache: Sequence[SingleKV]) -> mx.array:
        logits: mx.array = self._model(token_ids, cache=[each.cache for each in cache])
        return logits


def unwrapped(caches: Sequence[Any]) -> list[Any]:
    """The request's own caches. They are still wrapped if BatchGenerator has not started the request."""
    return [each.cache if isinstance(each, SingleKV) else each for each in caches]
