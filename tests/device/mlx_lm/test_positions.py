"""Positions are shared by layers, and known again."""

from __future__ import annotations

import mlx.core as mx

from pensieve.device.mlx_lm.positions import SharedPositions
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import RowKV


def test_rows_of_the_same_lengths_share_an_array() -> None:
    positions = SharedPositions()
    array = positions.array((3, 5))
    assert array.tolist() == [3, 5]
    assert positions.array((3, 5)) is array
    assert positions.lengths(array) == (3, 5)


def test_an_array_from_elsewhere_is_unknown() -> None:
    positions = SharedPositions()
    positions.array((3, 5))
    assert positions.lengths(mx.array([3, 5])) is None


def test_only_the_last_few_are_kept() -> None:
    positions = SharedPositions()
    first = positions.array((0,))
    for length in range(1, 9):
        positions.array((length,))
    assert positions.lengths(first) is None


def test_layers_share_the_positions_of_their_rows() -> None:
    layers = [RowsKV([RowKV(offset=7), RowKV(offset=9)]) for _ in range(2)]
    assert layers[0].offset is layers[1].offset
    layers[0].cut([1, 1])
    assert layers[0].offset.tolist() == [6, 8]
    assert layers[1].offset.tolist() == [7, 9]
