"""A window's row holds what its next tokens attend to, whatever was added and cut off before."""

from __future__ import annotations

import random

import mlx.core as mx
import numpy as np
import pytest

from pensieve.device.mlx_lm.caches import RotatingKVCache
from pensieve.engine.kv.causal_attention import Scoring
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.forms import RowForms, in_rows, without_rows
from pensieve.engine.kv.rows.window_row import SPARE_TOKENS, WindowRow, max_room

WINDOW = 40


def numbered(start: int, num_tokens: int) -> mx.array:
    """Keys or values whose numbers are their positions."""
    return mx.broadcast_to(
        mx.arange(start, start + num_tokens).astype(mx.float32)[None, None, :, None], (1, 2, num_tokens, 4)
    )


def positions(array: mx.array) -> list[int]:
    return [int(number) for number in array[0, 0, :, 0].tolist()]  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_appending_and_cutting_leaves_the_window(seed: int) -> None:
    rng, row, num_tokens = random.Random(seed), WindowRow(WINDOW), 0  # noqa: S311 - a test's traffic
    for _ in range(60):
        added = rng.choice((1, 1, 1, 7, 33, 130))
        row.append(numbered(num_tokens, added), numbered(num_tokens, added))
        num_tokens += added
        keys, _ = row.visible(added, mx.float32)
        assert positions(keys) == list(range(max(0, num_tokens - added - WINDOW + 1), num_tokens))
        assert row.room <= max_room(WINDOW, 130)
        removed = rng.randint(0, min(added, SPARE_TOKENS))
        row.cut(removed)
        num_tokens -= removed
        assert (row.offset, row.size()) == (num_tokens, min(num_tokens, WINDOW))


@pytest.mark.parametrize("chunks", [[3], [WINDOW], [130], [20, 1, 1], [WINDOW, 1], [130, *[1] * 97], [50, 60, 1, 7]])
def test_mlx_lms_rotating_cache_becomes_a_row_and_back(chunks: list[int]) -> None:
    cache, row, num_tokens = RotatingKVCache(WINDOW), WindowRow(WINDOW), 0
    for added in chunks:
        cache.update_and_fetch(numbered(num_tokens, added), numbered(num_tokens, added))
        row.append(numbered(num_tokens, added), numbered(num_tokens, added))
        num_tokens += added
    (moved,) = in_rows([cache], RowForms("attending", "attending"))
    (back,) = without_rows([row])
    assert type(back) is RotatingKVCache
    for each in (moved, row, *in_rows([back], RowForms("attending", "attending"))):
        each.append(numbered(num_tokens, 1), numbered(num_tokens, 1))
        assert positions(each.visible(1, mx.float32)[0]) == list(range(max(0, num_tokens - WINDOW + 1), num_tokens + 1))
        assert each.offset == num_tokens + 1
    continued, _ = back.update_and_fetch(numbered(num_tokens, 1), numbered(num_tokens, 1))
    assert sorted(positions(continued)) == list(range(max(0, num_tokens - WINDOW + 1), num_tokens + 1))


def test_a_cache_that_keeps_its_first_tokens_stays_mlx_lms() -> None:
    kept = RotatingKVCache(WINDOW, keep=4)
    assert in_rows([kept], RowForms("attending", "attending")) == [kept]


@pytest.mark.parametrize("num_tokens", [1, 7, 60])
@pytest.mark.parametrize("has_sinks", [True, False])
def test_windows_of_any_length_attend_as_mlx_lms_cache(num_tokens: int, *, has_sinks: bool) -> None:
    mx.random.seed(1)
    sinks = mx.random.normal((4,)) if has_sinks else None
    rows, expected = [], []
    queries = mx.random.normal((3, 4, num_tokens, 16))
    new = [mx.random.normal((3, 2, num_tokens, 16)) for _ in range(2)]
    for index, length in enumerate((5, 39, 300)):
        cache = RotatingKVCache(WINDOW)
        held = [mx.random.normal((1, 2, length, 16)) for _ in range(2)]
        cache.update_and_fetch(*held)
        rows += in_rows(without_rows([WindowRow(WINDOW, (*held,), length)]), RowForms(None, "attending"))
        mask = cache.make_mask(num_tokens)
        keys, values = cache.update_and_fetch(*(each[index : index + 1] for each in new))
        expected.append(
            mx.fast.scaled_dot_product_attention(
                queries[index : index + 1], keys, values, scale=0.25, mask=mask, sinks=sinks
            )
        )
    batch = RowsKV(rows)
    batch.make_mask(num_tokens, window_size=WINDOW)
    batch.update_and_fetch(*new)
    actual = batch.attend_by(queries, Scoring(0.25, sinks))
    np.testing.assert_allclose(np.array(actual), np.array(mx.concatenate(expected)), atol=1e-5)


def test_another_window_than_the_caches_is_refused() -> None:
    with pytest.raises(NotImplementedError):
        RowsKV([WindowRow(WINDOW)]).make_mask(4, window_size=WINDOW + 1)
