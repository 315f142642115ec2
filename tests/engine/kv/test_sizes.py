"""What is reserved for a request is what its caches take."""

from __future__ import annotations

from typing import Final

import mlx.core as mx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pensieve.engine.kv.rows.row import Form, RowKV, room_for
from pensieve.engine.kv.rows.window_row import WindowRow, max_room
from pensieve.engine.kv.sizes import KVSizes, LayerKV, measured_sizes

CHUNK: Final = 300
WINDOW: Final = 40
SIZES: Final = ((2, 8), (1, 6))
"""Heads and size of keys, and of values: of latents and rotated keys."""


def new_row(*, is_window: bool, form: Form) -> RowKV:
    return WindowRow(WINDOW, form=form) if is_window else RowKV(form=form)


def add(row: RowKV, num_tokens: int) -> None:
    row.append(*(mx.zeros((1, heads, num_tokens, size)) for heads, size in SIZES))


def sizes_of(*, is_window: bool, form: Form = "attending") -> KVSizes:
    row = new_row(is_window=is_window, form=form)
    add(row, 1)
    return measured_sizes([row], chunk_tokens=CHUNK)


@settings(max_examples=60, deadline=None)
@given(
    num_prompt=st.integers(1, 2000),
    num_answer=st.integers(0, 400),
    chunk=st.integers(1, CHUNK),
    num_cut=st.integers(0, 8),
    is_window=st.booleans(),
)
def test_a_row_never_takes_more_than_is_reserved_and_a_whole_one_exactly_that(
    num_prompt: int, num_answer: int, chunk: int, num_cut: int, *, is_window: bool
) -> None:
    row, most = new_row(is_window=is_window, form="attending"), 0
    for start in range(0, num_prompt, chunk):
        add(row, min(chunk, num_prompt - start))
        most = max(most, row.nbytes)
    for _ in range(num_answer):
        add(row, 1)
        most = max(most, row.nbytes)
    reserved = sizes_of(is_window=is_window).alone(num_prompt + num_answer)
    assert most <= reserved
    if not is_window:
        assert most == reserved
    elif chunk == CHUNK and num_prompt > WINDOW + 2 * CHUNK:
        assert most == reserved, "the window, a whole chunk, and what may be cut"
    row.cut(min(num_cut, row.offset))
    assert row.nbytes <= reserved


@pytest.mark.parametrize("is_window", [True, False])
def test_a_row_joins_others_for_what_it_takes_alone(*, is_window: bool) -> None:
    sizes = sizes_of(is_window=is_window)
    assert sizes.in_rows
    assert sizes.joining(500, [9000, 3], 10**9) == sizes.alone(500)


def test_rows_that_are_gathered_reserve_two_layers_of_the_longest_for_each() -> None:
    layer = LayerKV(100, in_row=True, is_gathered=True)
    sizes, others = KVSizes((layer, layer, layer), in_rows=True), [1000, 4000]
    assert sizes.alone(500) == 3 * 100 * room_for(500)
    rows = sum(map(sizes.alone, (500, 1000, 4000)))
    together = rows + 3 * 2 * 100 * room_for(4000)
    reserved = sum(map(sizes.alone, others)) + 2 * 2 * 100 * room_for(4000)
    assert sizes.joining(500, others, reserved) == together - reserved


def test_a_windows_room_is_bounded_by_the_window_and_a_chunk() -> None:
    assert max_room(WINDOW, CHUNK) == room_for(WINDOW - 1 + 32 + CHUNK)
    assert sizes_of(is_window=True).alone(10**6) == sizes_of(is_window=True).alone(2000)
