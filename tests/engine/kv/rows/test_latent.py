"""Rows of latents attend as the formula of multi-head latent attention says, whichever side is projected."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
import pytest

from pensieve.device.mlx_lm.layers import MultiLinear
from pensieve.engine.kv.rows.latent import LatentRows, ProjectedLatents
from pensieve.engine.kv.rows.row import RowKV

HEADS, RANK, SIZE, ROTATED, VALUES, SCALE = 4, 24, 8, 6, 10, 0.3
LENGTHS = (3, 70, 260)


def latents_and_rotated(num_tokens: int, num_rows: int = 1) -> list[mx.array]:
    return [mx.random.normal((num_rows, 1, num_tokens, size)) for size in (RANK, ROTATED)]


def formula(
    queries: mx.array, rotated_queries: mx.array, row: RowKV, layers: tuple[MultiLinear, MultiLinear]
) -> mx.array:
    """With every latent projected to every head's keys and values."""
    (latents, rotated), (to_keys, to_values) = row.filled(), (layer.weight for layer in layers)
    num_tokens, num_keys = queries.shape[2], latents.shape[2]
    scores = queries @ (latents @ to_keys).swapaxes(-1, -2) * SCALE + rotated_queries @ rotated.swapaxes(-1, -2)
    seen = mx.arange(num_keys) <= mx.arange(num_keys - num_tokens, num_keys)[:, None]
    weights = mx.softmax(mx.where(seen, scores, -mx.inf), axis=-1)
    output: mx.array = weights @ (latents @ to_values.swapaxes(-1, -2))
    return output


@pytest.fixture
def layers() -> tuple[MultiLinear, MultiLinear]:
    mx.random.seed(3)
    to_keys, to_values = MultiLinear(SIZE, RANK, HEADS), MultiLinear(RANK, VALUES, HEADS)
    for layer in (to_keys, to_values):
        layer.weight = mx.random.normal(layer.weight.shape) * 0.3
    return to_keys, to_values


@pytest.mark.parametrize(("num_tokens", "own"), [(1, (1, 1, 1)), (5, (5, 5, 5)), (5, (2, 5, 0)), (40, (40, 1, 33))])
def test_tokens_of_rows_of_any_length_attend_as_the_formula_says(
    layers: tuple[MultiLinear, MultiLinear], num_tokens: int, own: Sequence[int]
) -> None:
    """Of five tokens the queries are projected, of forty the latents."""
    rows = [RowKV(form="latent") for _ in LENGTHS]
    for row, length in zip(rows, LENGTHS, strict=True):
        row.append(*latents_and_rotated(length))
    batch = RowKV.merge(rows)
    assert isinstance(batch, LatentRows)
    queries, rotated_queries = (mx.random.normal((3, HEADS, num_tokens, size)) for size in (SIZE, ROTATED))
    if min(own) < num_tokens:
        batch.prepare(lengths=own, right_padding=[num_tokens - each for each in own])
    _, identity = batch.update_and_fetch(*latents_and_rotated(num_tokens, 3))
    to_keys, to_values = layers
    handed_over = rotated_queries @ identity.swapaxes(-1, -2)
    if num_tokens == 1:
        actual = to_values(batch.attend(to_keys(queries), SCALE, mask=handed_over))
    else:
        keys, values = (ProjectedLatents(batch, layer) for layer in layers)
        actual = keys.attend(queries, SCALE, mask=handed_over, values=values)
    for index, (row, num) in enumerate(zip(rows, own, strict=True)):
        part = slice(index, index + 1), slice(None), slice(0, num)
        if num:
            expected = formula(queries[part], rotated_queries[part], row, layers)
            np.testing.assert_allclose(np.array(actual[part]), np.array(expected), atol=2e-5)
    assert actual.shape == (3, HEADS, num_tokens, VALUES)


def test_keys_of_several_heads_are_refused() -> None:
    batch = RowKV.merge([RowKV(form="latent")])
    with pytest.raises(NotImplementedError):
        batch.update_and_fetch(mx.zeros((1, 2, 3, RANK)), mx.zeros((1, 2, 3, ROTATED)))
