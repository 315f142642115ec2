"""The rows of one layer in a pass over chunks of prompts and over other rows' next tokens.

Each token of a chunk stands as a row of its own, [tokens, heads, 1, size]. So nothing is padded, a model sees what it
sees when it decodes that many rows, and the weights are read once for all of them.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import mlx.core as mx

from pensieve.device.mlx_lm.positions import POSITIONS
from pensieve.engine.kv.causal_attention import Scoring
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import RowKV


class FlatRows(RowsKV):
    """For one pass: `chunks` are rows and the numbers of tokens that they get, followed by one of each row of
    `decoding`.
    """

    def __init__(self, chunks: Sequence[tuple[RowKV, int]], decoding: RowsKV) -> None:
        super().__init__([*(row for row, _ in chunks), *decoding.rows])
        self._chunks = chunks
        self._decoding = decoding
        of_chunks = chain.from_iterable(range(row.offset, row.offset + num_tokens) for row, num_tokens in chunks)
        self._positions = (*of_chunks, *decoding.lengths)

    @property
    def lengths(self) -> list[int]:
        """The position of each token of the pass."""
        return list(self._positions)

    @property
    def offset(self) -> mx.array:
        """int32 [tokens]"""
        return POSITIONS.array(self._positions)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[RowsKV, RowsKV]:
        """Add keys and values [tokens, heads, 1, size] to the rows."""
        *of_chunks, newest_keys = self._parts(keys)
        *values_of_chunks, newest_values = self._parts(values)
        for (row, _), own_keys, own_values in zip(self._chunks, of_chunks, values_of_chunks, strict=True):
            row.append(_turned(own_keys), _turned(own_values))
        self._decoding.update_and_fetch(newest_keys, newest_values)
        return self, self

    def attend_by(self, queries: mx.array, scoring: Scoring) -> mx.array:
        """Attention [tokens, query heads, 1, size] of the tokens added last."""
        *of_chunks, newest = self._parts(queries)
        outputs = [
            _turned(row.attend(_turned(own), scoring)) for (row, _), own in zip(self._chunks, of_chunks, strict=True)
        ]
        return mx.concatenate([*outputs, self._decoding.attend_by(newest, scoring)])

    def _parts(self, array: mx.array) -> list[mx.array]:
        """Of each chunk, then of all decoding rows."""
        ends: list[int] = []
        for _, num_tokens in self._chunks:
            ends.append((ends[-1] if ends else 0) + num_tokens)
        return list(mx.split(array, ends))


def _turned(array: mx.array) -> mx.array:
    """[tokens, heads, 1, size] as [1, heads, tokens, size], and the reverse."""
    return array.swapaxes(0, 2)
