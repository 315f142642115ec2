"""Rows that are put together in one padded array for each layer, for models that attend in a way of their own.

What they need is what mlx-lm's batch caches give: arrays of keys and values, and a mask. The arrays last for one layer
of one pass; between passes each row has its own memory, joins, leaves and is cut like any other.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import mlx.core as mx

from pensieve.engine.kv.causal_attention import window_mask
from pensieve.engine.kv.rows.batch import RowBatch
from pensieve.engine.kv.rows.row import BATCHES, RowKV


class GatheredRows(RowBatch):
    """Keys and values are padded on the left, as in mlx-lm's batch caches. A single row is not copied."""

    def __init__(self, rows: Sequence[RowKV]) -> None:
        super().__init__(rows)
        self._last = 0

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        self.append(keys, values)
        self._last = int(keys.shape[2])
        return self._together(keys.dtype)

    def keys_and_values(self) -> tuple[mx.array, mx.array]:
        """Those of the last pass, for layers that share them."""
        return self._together(self.rows[0].arrays[0].dtype)

    @property
    def keys(self) -> mx.array:
        """Not the keys, but an array that is computed after them.

        DeepSeek V3.2 assigns it to another cache of the layer: so that the keys of the tokens that it selects from are
        computed in each pass, though it reads them only once there are more than it would select.
        """
        computed: mx.array = mx.depends(mx.array(0), [array for row in self.rows for array in row.arrays])
        return computed

    @keys.setter
    def keys(self, computed: mx.array) -> None:
        for row in self.rows:
            row.arrays = tuple(mx.depends(list(row.arrays), [computed]))

    @property
    def values(self) -> mx.array:
        return self.keys

    @values.setter
    def values(self, _: mx.array) -> None:
        """A model that needs no values assigns zeros."""

    def _together(self, dtype: mx.Dtype) -> tuple[mx.array, mx.array]:
        pairs = [row.visible(num, dtype) for row, num in zip(self.rows, self.num_added(self._last), strict=True)]
        if len(pairs) == 1:
            return pairs[0]
        own_keys, own_values = zip(*pairs, strict=True)
        return _gathered(own_keys), _gathered(own_values)

    def make_mask(
        self, num_tokens: int, *, return_array: bool = False, window_size: int | None = None
    ) -> mx.array | Literal["causal"] | None:
        """The mask for the next pass: of several rows, or of a padded one, bool [rows, 1, tokens, keys].

        Raises:
            NotImplementedError: the rows attend to another number of tokens.
        """
        self.require_window(window_size)
        if len(self.rows) > 1 or self._lengths is not None:
            return self._mask(num_tokens)
        row = self.rows[0]
        window = row.window or row.offset + num_tokens
        num_keys = min(row.offset + num_tokens - row.start, window - 1 + num_tokens)
        if num_tokens == 1:
            return None
        return window_mask(num_tokens, num_keys, window) if return_array or num_keys > window else "causal"

    def _mask(self, num_tokens: int) -> mx.array:
        """Of positions: key k of a row's, which ends at the right, is seen by a token q if q - window < k <= q."""
        ends = [row.offset + num for row, num in zip(self.rows, self.num_added(num_tokens), strict=True)]
        firsts = [max(row.start, row.offset - row.window + 1 if row.window is not None else 0) for row in self.rows]
        num_keys = max(end - first for end, first in zip(ends, firsts, strict=True))
        first, last = _by_row(firsts), _by_row([end - 1 for end in ends])
        keys = mx.arange(1 - num_keys, 1) + last
        tokens = mx.minimum(_by_row([row.offset for row in self.rows]) + mx.arange(num_tokens)[:, None], last)
        mask = (keys >= first) & (keys <= tokens)
        window = self.rows[0].window
        return mask if window is None else mask & (keys > tokens - window)


def _by_row(numbers: Sequence[int]) -> mx.array:
    return mx.array(list(numbers))[:, None, None, None]


def _gathered(parts: Sequence[mx.array]) -> mx.array:
    """[rows, heads, tokens of the longest, size]"""
    num_tokens = max(part.shape[2] for part in parts)
    _, num_heads, _, size = parts[0].shape
    together = mx.zeros((len(parts), num_heads, num_tokens, size), parts[0].dtype)
    for index, part in enumerate(parts):
        together[index : index + 1, :, num_tokens - part.shape[2] :] = part
    return together


BATCHES["gathered"] = GatheredRows
