"""Rows whose newest tokens lie in one array are the rows that they would be.

The kernel is replaced by MLX's operations, so that this runs everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from pensieve.engine.kv.ragged_attention import MAX_NEWEST, Newest, RowArrays
from pensieve.engine.kv.rows import batch
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.kv.rows.window_row import WindowRow

HEADS, SIZE, WINDOW = 2, 8, 24


def attend_all(
    queries: mx.array,
    rows: Sequence[RowArrays],
    scale: float,
    *,
    sinks: mx.array | None = None,
    newest: Newest | None = None,
) -> mx.array:
    outputs = []
    for index, (keys, values, first, end) in enumerate(rows):
        pairs = ((keys, newest and newest.keys), (values, newest and newest.values))
        whole = [
            array[:, :, :end]
            if late is None or newest is None
            else mx.concatenate([array[:, :, :end], late[index : index + 1, :, : newest.num_tokens]], axis=2)
            for array, late in pairs
        ]
        own = (array[:, :, first:] for array in whole)
        outputs.append(mx.fast.scaled_dot_product_attention(queries[index : index + 1], *own, scale=scale, sinks=sinks))
    return mx.concatenate(outputs)


@pytest.fixture(autouse=True)
def kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "_backend", lambda: "cuda")
    monkeypatch.setattr(batch, "attends_at_once", lambda *_, **__: True)
    monkeypatch.setattr(batch, "attend_all", attend_all)


class Compared:
    """A batch of rows, and each row alone, which get the same tokens."""

    def __init__(self, rows: Sequence[RowKV], alone: Sequence[RowKV]) -> None:
        self.together, self.alone = RowsKV(rows), [RowsKV([row]) for row in alone]

    def step(self, num_tokens: int = 1) -> None:
        keys, values, queries = (mx.random.normal((len(self.alone), HEADS, num_tokens, SIZE)) for _ in range(3))
        self.together.update_and_fetch(keys, values)
        found = self.together.attend(queries, 0.3)
        for index, row in enumerate(self.alone):
            own = slice(index, index + 1)
            row.update_and_fetch(keys[own], values[own])
            np.testing.assert_allclose(np.array(found[own]), np.array(row.attend(queries[own], 0.3)), atol=1e-5)

    def leave(self, index: int) -> None:
        kept = [place for place in range(len(self.alone)) if place != index]
        self.together.filter(kept)
        del self.alone[index]


@pytest.fixture(params=["all tokens", "a window"])
def compared(request: pytest.FixtureRequest) -> Compared:
    def new_rows() -> list[RowKV]:
        return [RowKV() if request.param == "all tokens" else WindowRow(WINDOW) for _ in range(3)]

    compared = Compared(new_rows(), new_rows())
    compared.step(5)
    return compared


def test_each_row_attends_as_it_does_alone_for_many_steps(compared: Compared) -> None:
    for _ in range(3 * MAX_NEWEST + 2):
        compared.step()
    assert compared.together.num_newest > 0
    assert compared.together.lengths == [row.lengths[0] for row in compared.alone]


def test_most_steps_write_into_no_row(compared: Compared) -> None:
    compared.step()
    before = compared.together.lengths
    for num_newest in (*range(1, MAX_NEWEST + 1), 1):
        compared.step()
        assert compared.together.num_newest == num_newest
    assert compared.together.lengths == [length + MAX_NEWEST + 1 for length in before]


def test_rows_that_leave_join_or_are_cut_have_all_their_tokens(compared: Compared) -> None:
    for _ in range(7):
        compared.step()
    alone = compared.alone[1].rows[0]
    taken: Any = compared.together.extract(1)
    compared.leave(1)
    assert taken.offset == alone.offset == 12
    for array, expected in zip(taken.filled(), alone.filled(), strict=True):
        np.testing.assert_array_equal(np.array(array), np.array(expected))
    for _ in range(4):
        compared.step()
    compared.together.extend(RowsKV([taken]))
    compared.alone.append(RowsKV([alone]))
    for _ in range(4):
        compared.step()
    compared.together.cut([2, 0, 3])
    for row, num in zip(compared.alone, (2, 0, 3), strict=True):
        row.cut([num])
    for num_tokens in (1, 1, 4, 1, 1):
        compared.step(num_tokens)


def test_rows_that_stay_have_all_their_tokens(compared: Compared) -> None:
    for _ in range(7):
        compared.step()
    compared.leave(1)
    for _ in range(4):
        compared.step()
    assert compared.together.lengths == [16, 16]


def test_passes_of_padded_rows_come_after_the_newest_tokens(compared: Compared) -> None:
    for _ in range(3):
        compared.step()
    compared.together.prepare(lengths=[1, 1, 1], right_padding=[0, 0, 0])
    compared.step()
    assert compared.together.num_newest == 0
    compared.together.finalize()
    compared.step()
    assert compared.together.num_newest == 1


def test_bytes_of_the_newest_tokens_count(compared: Compared) -> None:
    compared.step()
    before = compared.together.nbytes
    compared.step()
    assert compared.together.nbytes == before + 2 * 3 * HEADS * MAX_NEWEST * SIZE * 4
