"""Rows: batched requests get the same tokens, and take the same memory, as each alone."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from pensieve.core.errors import ValidationError
from pensieve.engine.kv.causal_attention import Scoring
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import GROWTH_TOKENS, RowKV, quantized_group_size, room_for
from pensieve.engine.memory.layout import rows_match_single_requests
from tests.engine.support.tiny_modules import continuation, new_caches, prefill, prompt, tiny_module

from mlx_lm.generate import BatchGenerator  # isort: skip - tiny_modules imports mlx-lm harmlessly

HEADS, SIZE = 2, 32
LENGTHS = (5, 300, 41)


def random_kv(num_tokens: int, seed: int, num_rows: int = 1) -> tuple[mx.array, mx.array]:
    shape = (num_rows, HEADS, num_tokens, SIZE)
    keys, values = (mx.random.normal(shape, key=mx.random.key(seed + n)) for n in (0, 1000))
    return keys, values


def test_rows_of_any_length_get_the_same_tokens_as_each_alone() -> None:
    model = tiny_module("llama")
    prompts = [prompt(length, seed) for seed, length in enumerate(LENGTHS)]
    alone = []
    for each in prompts:
        caches = prefill(model, each[:-1])
        alone.append(continuation(model, caches, each[-1]))
    generator = BatchGenerator(model.model, prefill_step_size=64, stream=mx.default_stream(mx.default_device()))
    layers = len(new_caches(model))
    numbers = generator.insert(prompts, [24] * 3, caches=[[RowKV() for _ in range(layers)] for _ in prompts])
    generated: dict[int, list[int]] = {number: [] for number in numbers}
    for _ in range(200):
        for response in generator.next()[1]:
            generated[response.uid].append(int(response.token))
    assert [generated[number] for number in numbers] == alone


def test_a_model_with_another_kind_of_attention_is_detected() -> None:
    assert rows_match_single_requests(tiny_module("llama"))
    assert not rows_match_single_requests(tiny_module("gemma3_text")), "rotating windows do not work as rows"


def test_joining_and_leaving_a_batch_copies_nothing() -> None:
    rows = []
    for seed in range(2):
        row = RowKV()
        row.append(*random_kv(10_000, seed))
        mx.eval(row.arrays)
        rows.append(row)
    mx.synchronize()  # a GPU frees what it no longer needs once it is done
    before = mx.get_active_memory()
    one, other = RowsKV(rows[:1]), RowsKV(rows[1:])
    one.extend(other)
    mx.eval(one.state)
    left = one.extract(0)
    one.filter([1])
    mx.synchronize()
    assert mx.get_active_memory() == before
    assert left.arrays[0] is rows[0].arrays[0]
    assert one.rows == rows[1:]
    assert one.nbytes == rows[1].nbytes == rows[1].room * 2 * HEADS * SIZE * 4


def test_a_row_takes_memory_for_its_own_tokens_only() -> None:
    long, short = RowKV(), RowKV()
    batch = RowsKV([long, short])
    keys, values = random_kv(3000, 1, num_rows=2)
    batch.prepare(lengths=[3000, 7], right_padding=[0, 2993])
    batch.update_and_fetch(keys, values)
    batch.finalize()
    assert (long.room, short.room) == (room_for(3000), GROWTH_TOKENS)
    assert batch.offset.tolist() == [3000, 7]
    np.testing.assert_array_equal(np.array(short.filled()[0]), np.array(keys[1:, :, :7]))


def test_requested_room_is_made_at_once_and_more_as_needed() -> None:
    row = RowKV(min_room=1000)
    row.append(*random_kv(10, 1))
    assert row.room == 1024
    first = row.arrays
    row.append(*random_kv(1000, 2))
    assert row.arrays is first, "nothing was copied to make room"
    row.append(*random_kv(20, 3))
    assert row.room == 1280


def test_eight_bits_take_about_a_quarter_of_single_precision_and_stay_close() -> None:
    plain, packed = RowKV(), RowKV(bits=8)
    keys, values = random_kv(200, 1)
    for row in (plain, packed):
        row.append(keys, values)
    queries = mx.random.normal((1, 4, 1, SIZE), key=mx.random.key(9))
    exact, near = (np.array(row.attend(queries, Scoring(SIZE**-0.5))) for row in (plain, packed))
    assert packed.nbytes < 0.35 * plain.nbytes
    assert np.abs(exact - near).max() < 0.02 * np.abs(exact).max()
    assert np.abs(exact - near).max() > 0.0


def test_a_head_that_mlx_cannot_quantise_is_refused_with_its_size() -> None:
    assert [quantized_group_size(size) for size in (128, 96, 64, 32)] == [64, 32, 64, 32]
    with pytest.raises(ValidationError, match="--kv-bits: the model has heads of 80 numbers"):
        quantized_group_size(80)


def test_a_mask_that_rows_do_not_support_is_refused() -> None:
    with pytest.raises(NotImplementedError):
        RowsKV([RowKV()]).make_mask(4, window_size=32)
