"""A row of chunks holds and shows its next tokens what mlx-lm's chunked cache and Llama 4's mask do."""

from __future__ import annotations

import random

import mlx.core as mx
import numpy as np
import pytest

from pensieve.device.mlx_lm.caches import ChunkedKVCache
from pensieve.engine.kv.rows.chunk_row import ChunkRow
from pensieve.engine.kv.rows.forms import RowForms, in_rows, without_rows
from pensieve.engine.kv.rows.window_row import SPARE_TOKENS, max_room
from tests.engine.kv.rows.test_window_row import numbered, positions

CHUNK = 40


def seen_by(row: ChunkRow, num_tokens: int) -> list[list[int]]:
    """The positions that each of the last tokens attends to."""
    keys, _ = row.visible(num_tokens, mx.float32)
    held, num_keys = positions(keys), int(keys.shape[2])
    mask = row.mask(num_tokens, num_keys)
    if mask is None:
        return [held[: num_keys - num_tokens + 1 + index] for index in range(num_tokens)]
    return [[held[key] for key in np.flatnonzero(np.array(of_token))] for of_token in mask]


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_appending_and_cutting_leaves_what_the_next_tokens_see(seed: int) -> None:
    rng, row, num_tokens = random.Random(seed), ChunkRow(CHUNK), 0  # noqa: S311 - a test's traffic
    for _ in range(60):
        added = rng.choice((1, 1, 1, 7, 33, 130))
        row.append(numbered(num_tokens, added), numbered(num_tokens, added))
        num_tokens += added
        expected = [list(range(at // CHUNK * CHUNK, at + 1)) for at in range(num_tokens - added, num_tokens)]
        assert seen_by(row, added) == expected
        assert row.room <= max_room(CHUNK, 130)
        removed = rng.randint(0, min(added, SPARE_TOKENS))
        row.cut(removed)
        num_tokens -= removed


@pytest.mark.parametrize("chunks", [[3], [CHUNK], [130], [20, 1, 1], [CHUNK, 1], [130, *[1] * 97]])
def test_mlx_lms_chunked_cache_becomes_a_row_and_back(chunks: list[int]) -> None:
    cache, row, num_tokens = ChunkedKVCache(CHUNK), ChunkRow(CHUNK), 0
    for added in chunks:
        for each in (row.append, cache.update_and_fetch):
            each(numbered(num_tokens, added), numbered(num_tokens, added))
        cache.maybe_trim_front()
        num_tokens += added
    (moved,) = in_rows([cache], RowForms("attending", "attending"))
    (back,) = without_rows([row])
    assert type(back) is ChunkedKVCache
    for each in (moved, row, *in_rows([back], RowForms("attending", "attending"))):
        assert isinstance(each, ChunkRow)
        each.append(numbered(num_tokens, 1), numbered(num_tokens, 1))
        assert seen_by(each, 1) == [list(range(num_tokens // CHUNK * CHUNK, num_tokens + 1))]


def test_chunks_are_rows_only_where_rows_attend_by_themselves() -> None:
    cache = ChunkedKVCache(CHUNK)
    assert in_rows([cache], RowForms("gathered", "gathered")) == [cache]
