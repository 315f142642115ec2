"""Attention of all rows in one kernel. What needs a GPU is skipped without one."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from pensieve.device.device import device_info
from pensieve.engine.kv.causal_attention import Scoring
from pensieve.engine.kv.ragged_attention import HeadKind, attend_all, attends_at_once
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import RowKV

needs_gpu = pytest.mark.skipif(device_info().backend == "cpu", reason="the kernels run on GPUs")
SIZE = 64


def filled_row(num_tokens: int, num_heads: int, dtype: mx.Dtype) -> RowKV:
    row = RowKV()
    keys, values = (mx.random.normal((1, num_heads, num_tokens, SIZE)).astype(dtype) for _ in range(2))
    row.append(keys, values)
    return row


@needs_gpu
@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.float32])
@pytest.mark.parametrize("lengths", [(1, 37), (300, 5, 41), (2000, 7, 513, 1, 90), (9,) * 19])
def test_rows_of_any_length_get_what_each_gets_alone(dtype: mx.Dtype, lengths: tuple[int, ...]) -> None:
    mx.random.seed(1)
    rows = [filled_row(length, 2, dtype) for length in lengths]
    queries = mx.random.normal((len(rows), 8, 1, SIZE)).astype(dtype)
    assert attends_at_once(queries, *rows[0].arrays)
    together = RowsKV(rows).attend(queries, SIZE**-0.5)
    alone = [
        row.attend(query, Scoring(SIZE**-0.5)) for row, query in zip(rows, mx.split(queries, len(rows)), strict=True)
    ]
    expected = np.array(mx.concatenate(alone).astype(mx.float32))
    difference = np.abs(np.array(together.astype(mx.float32)) - expected).max()
    assert difference < {mx.float32: 2e-3}.get(dtype, 2e-2) * np.abs(expected).max()


@needs_gpu
def test_unfilled_room_is_not_attended_to() -> None:
    rows = [filled_row(40, 2, mx.float32) for _ in range(2)]
    queries = mx.random.normal((2, 4, 1, SIZE))
    before = np.array(attended(queries, rows))
    for row in rows:
        row.arrays = tuple(
            mx.concatenate([array[:, :, :40], mx.full(array[:, :, 40:].shape, 9.0)], 2) for array in row.arrays
        )
    np.testing.assert_array_equal(np.array(attended(queries, rows)), before)


def attended(queries: mx.array, rows: list[RowKV]) -> mx.array:
    return attend_all(queries, [(row.arrays[0], row.arrays[1], 0, row.offset) for row in rows], 0.1)


def test_kinds_of_heads_that_the_kernel_is_not_written_for_are_left_to_mlx() -> None:
    def can_be_served(dtype: mx.Dtype, key_size: int, value_size: int) -> bool:
        queries, keys, values = (mx.zeros((1, 2, 3, size), dtype) for size in (key_size, key_size, value_size))
        return HeadKind.of(queries, keys, values).can_be_served

    assert can_be_served(mx.bfloat16, 128, 128)
    assert can_be_served(mx.float32, 192, 128), "keys and values of different sizes"
    assert not can_be_served(mx.float16, 80, 80), "lanes would have unequal shares"
    assert not can_be_served(mx.int8, 128, 128)


def test_mixed_precisions_are_left_to_mlx() -> None:
    queries, keys = mx.zeros((2, 4, 1, 64), mx.float32), mx.zeros((1, 4, 9, 64), mx.float16)
    assert not attends_at_once(queries, keys, keys)
