"""The newest tokens of all rows of a layer, in one array of keys and one of values.

To write a token into a row's own arrays takes two operations; sixteen rows of 32 layers would start a thousand in each
step. So on GPUs a step writes the tokens of all rows at once, and every sixteenth moves them to the rows.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from pensieve.engine.kv.ragged_attention import MAX_NEWEST, Newest
from pensieve.engine.kv.rows.row import RowKV


class NewestTokens:
    """`arrays` [rows, heads, MAX_NEWEST, size] hold the keys and values of `num_tokens` tokens of each row."""

    def __init__(self, rows: Sequence[RowKV], keys: mx.array, values: mx.array) -> None:
        """For tokens like these: keys and values [rows, heads, 1, size]."""
        self.arrays = [mx.zeros((*new.shape[:2], MAX_NEWEST, new.shape[3]), new.dtype) for new in (keys, values)]
        self.num_tokens = 0
        self._rows = rows

    @property
    def for_kernel(self) -> Newest | None:
        """None: there are none."""
        keys, values = self.arrays
        return Newest(keys, values, self.num_tokens) if self.num_tokens else None

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)

    def add(self, keys: mx.array, values: mx.array) -> None:
        if self.num_tokens == MAX_NEWEST:
            self.move()
        begin = self.num_tokens
        for array, new in zip(self.arrays, (keys, values), strict=True):
            array[:, :, begin : begin + 1] = new
        self.num_tokens += 1

    def move(self) -> None:
        """Append them to the rows."""
        parts = (mx.split(array[:, :, : self.num_tokens], len(self._rows)) for array in self.arrays)
        for row, keys, values in zip(self._rows, *parts, strict=True):
            row.append(keys, values)
        self.num_tokens = 0
