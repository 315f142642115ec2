"""A row taken out of a batch equals mlx-lm's copy, and takes no memory."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.engine.kv.batch_caches import row_of

import_mlx_lm()

from mlx_lm.models.cache import BatchKVCache, KVCache, RotatingKVCache  # noqa: E402 - only after import_mlx_lm

HEADS, SIZE = 2, 8
LENGTHS = (100, 7, 300)


def filled(length: int, seed: int) -> KVCache:
    cache = KVCache()
    cache.update_and_fetch(*(mx.random.normal((1, HEADS, length, SIZE), key=mx.random.key(seed + n)) for n in (0, 50)))
    return cache


def test_a_row_equals_what_was_merged_into_the_batch() -> None:
    alone = [filled(length, seed) for seed, length in enumerate(LENGTHS)]
    batch = BatchKVCache.merge(alone)
    for index, cache in enumerate(alone):
        row = row_of(batch, index)
        assert row.offset == LENGTHS[index]
        for one, other in zip(row.keys_and_values(), cache.keys_and_values(), strict=True):
            assert np.array_equal(np.array(one), np.array(other))


def test_reading_a_row_takes_no_memory() -> None:
    batch = BatchKVCache.merge([filled(20_000, 1), filled(20_000, 2)])
    mx.eval(batch.keys, batch.values)
    before = mx.get_active_memory()
    rows = [row_of(batch, index) for index in range(2)]
    mx.eval([row.keys for row in rows])
    assert mx.get_active_memory() - before < batch.keys.nbytes // 10


def test_a_cache_that_cannot_be_viewed_gives_mlx_lms_own_row() -> None:
    window = RotatingKVCache(max_size=16)
    window.update_and_fetch(*(mx.ones((1, HEADS, 5, SIZE)) for _ in range(2)))
    assert type(row_of(RotatingKVCache.merge([window]), 0)) is RotatingKVCache
