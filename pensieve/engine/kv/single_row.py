"""Caches of any kind in mlx-lm's BatchGenerator, for models whose requests are decoded one at a time.

BatchGenerator turns every request's caches into batch caches, a lone request's too. Some kinds of cache have no batch
form (Llama 4's chunks), and some models compute something else with it. Here a request keeps the caches that it would
have alone.

All on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx


class SingleKV:
    """One layer's cache of the only request, with the methods of a batch cache that BatchGenerator calls."""

    def __init__(self, cache: Any) -> None:
        self.cache = cache

    def __deepcopy__(self, _: dict[int, Any]) -> SingleKV:
        """mlx-lm copies a batch to split it: the row then belongs to one of the two."""
        return SingleKV(self.cache)

    @classmethod
    def merge(cls, rows: Sequence[SingleKV]) -> SingleKV:
        (row,) = rows
        return row

    def filter(self, _: Sequence[int]) -> None:
        """The row stays: a batch that is left without rows drops its caches by itself."""

    def extract(self, _: int) -> Any:
        return self.cache

    @property
    def state(self) -> Any:
        return self.cache.state

    @property
    def nbytes(self) -> int:
        return int(self.cache.nbytes)


class SingleRequestModel:
    """A model as BatchGenerator calls it, given the request's own caches."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, token_ids: mx.array, cache: Sequence[SingleKV]) -> mx.array:
        logits: mx.array = self._model(token_ids, cache=[each.cache for each in cache])
        return logits


def unwrapped(caches: Sequence[Any]) -> list[Any]:
    """The caches themselves, of a request that BatchGenerator has not begun with."""
    return [each.cache if isinstance(each, SingleKV) else each for each in caches]
