"""Gathered rows give a model arrays and a mask by which each row attends as if alone."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest

from pensieve.engine.kv.causal_attention import Scoring
from pensieve.engine.kv.rows.gathered import GatheredRows
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.kv.rows.window_row import WindowRow

WINDOW = 16


def new_row(length: int, window: int | None) -> RowKV:
    row = RowKV(form="gathered") if window is None else WindowRow(window, form="gathered")
    if length:
        row.append(*(mx.random.normal((1, 2, length, 8)) for _ in range(2)))
    return row


@pytest.mark.parametrize("window", [None, WINDOW])
@pytest.mark.parametrize(
    ("lengths", "own", "num_tokens"),
    [
        ((0,), (9,), 9),
        ((20,), (1,), 1),
        ((20,), (30,), 30),
        ((20,), (1,), 3),
        ((0, 5, 40), (1, 1, 1), 1),
        ((0, 5, 40), (12, 1, 5), 12),
        ((300, 7), (3, 20), 20),
    ],
)
def test_rows_attend_as_if_alone(
    window: int | None, lengths: Sequence[int], own: Sequence[int], num_tokens: int
) -> None:
    """`own` tokens of `num_tokens` are a row's own; a single row may be padded too."""
    mx.random.seed(2)
    rows = [new_row(length, window) for length in lengths]
    batch = RowKV.merge(rows)
    assert isinstance(batch, GatheredRows)
    if min(own) < num_tokens:
        batch.prepare(lengths=own, right_padding=[num_tokens - each for each in own])
    mask = batch.make_mask(num_tokens, window_size=window)
    keys, values, queries = (mx.random.normal((len(rows), heads, num_tokens, 8)) for heads in (2, 2, 4))
    together = batch.update_and_fetch(keys, values)
    assert all(mx.array_equal(one, same) for one, same in zip(together, batch.keys_and_values(), strict=True))
    output = mx.fast.scaled_dot_product_attention(queries, *together, scale=0.3, mask=mask)
    assert not mx.any(mx.isnan(output))
    for index, (row, num) in enumerate(zip(rows, own, strict=True)):
        expected = row.attend(queries[index : index + 1, :, :num], Scoring(0.3))
        np.testing.assert_allclose(np.array(output[index : index + 1, :, :num]), np.array(expected), atol=1e-5)


def test_a_single_row_is_neither_padded_nor_copied() -> None:
    row = new_row(256, None)
    batch = GatheredRows([row])
    row.offset = 255
    keys, _ = batch.update_and_fetch(*(mx.random.normal((1, 2, 1, 8)) for _ in range(2)))
    assert keys is row.arrays[0]
