"""The rows of one layer, in the form of mlx-lm's batch caches.

`RowsKV` attends by itself (`pensieve.device.mlx_lm.attention`). Attention reads the same bytes as that of each request
alone: on GPUs in one kernel for all rows (`ragged_attention`), else row by row.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import mlx.core as mx

from pensieve.device.device import Backend, device_info
from pensieve.device.mlx_lm.attention import AttendingCache, quantized_attention
from pensieve.device.mlx_lm.positions import POSITIONS
from pensieve.engine.kv.causal_attention import Scoring, attends_faster, capped, sums_beside_sinks
from pensieve.engine.kv.ragged_attention import RowArrays, attend_all, attends_at_once
from pensieve.engine.kv.rows.newest import NewestTokens
from pensieve.engine.kv.rows.row import BATCHES, RowKV


class RowBatch:
    """What the rows of every form have in common: how they join, leave, grow and are cut."""

    def __init__(self, rows: Sequence[RowKV]) -> None:
        self._rows = list(rows)
        self._lengths: list[int] | None = None

    @property
    def rows(self) -> list[RowKV]:
        """Each with all its tokens."""
        return self._rows

    def __deepcopy__(self, _: dict[int, Any]) -> RowBatch:
        """A batch is copied to be split; each row then belongs to one of the two."""
        return type(self)(self.rows)

    @property
    def offset(self) -> mx.array:
        """The position of each row's next token, int32 [rows]."""
        return POSITIONS.array(tuple(self.lengths))

    @property
    def num_newest(self) -> int:
        """How many tokens of each row are not in the row yet."""
        return 0

    @property
    def state(self) -> list[tuple[mx.array, ...]]:
        return [row.arrays for row in self.rows]

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self._rows)

    def append(self, keys: mx.array, values: mx.array) -> None:
        """Add keys and values [rows, heads, tokens, size]; after `prepare`, only each row's first tokens are added."""
        if self._is_single:
            self._rows[0].append(keys, values)
            return
        for row, new_keys, new_values in zip(self.rows, self.split_rows(keys), self.split_rows(values), strict=True):
            if self._lengths is None or new_keys.shape[2]:
                row.append(new_keys, new_values)

    def prepare(self, *, lengths: Sequence[int], right_padding: Sequence[int]) -> None:  # noqa: ARG002 - mlx-lm's signature
        """Until `finalize`, add only the first `lengths[i]` of the tokens given for row i."""
        self._lengths = list(lengths)

    def finalize(self) -> None:
        self._lengths = None

    def filter(self, indices: Sequence[int]) -> None:
        rows = self.rows
        self._rows = [rows[index] for index in indices]

    def extend(self, other: RowBatch) -> None:
        self._rows = [*self.rows, *other.rows]

    @property
    def lengths(self) -> list[int]:
        num_newest = self.num_newest
        return [row.offset + num_newest for row in self._rows]

    def cut(self, num_tokens: Sequence[int]) -> None:
        """Remove the last `num_tokens[i]` tokens of row i."""
        for row, num in zip(self.rows, num_tokens, strict=True):
            row.cut(num)

    def extract(self, index: int) -> RowKV:
        """A row as it is until the next step. It may be kept only if the row has left the batch."""
        return copy.copy(self.rows[index])

    def size(self) -> int:
        return max(self.lengths, default=0)

    def empty(self) -> bool:
        return not self._rows

    @property
    def _is_single(self) -> bool:
        """One row without padding: with a single client, each microsecond of a layer counts."""
        return len(self._rows) == 1 and self._lengths is None

    def num_added(self, num_tokens: int) -> list[int]:
        """How many of a pass's `num_tokens` are each row's own."""
        return self._lengths or [num_tokens] * len(self._rows)

    def split_rows(self, array: mx.array) -> Sequence[mx.array]:
        """Split [rows, heads, tokens, size] into one array for each row, without padding."""
        parts = list(mx.split(array, len(self._rows))) if len(self._rows) > 1 else [array]
        if self._lengths is None:
            return parts
        return [part[:, :, :length] for part, length in zip(parts, self._lengths, strict=True)]

    def require_window(self, window_size: int | None) -> None:
        """
        Raises:
            NotImplementedError: the rows attend to another number of tokens.
        """
        if window_size is not None and any(row.window != window_size for row in self._rows):
            raise NotImplementedError(f"these rows do not have a window of {window_size} tokens")


class RowsKV(RowBatch, AttendingCache):
    """Rows that attend by themselves.

    Where one kernel attends to all of them, their newest tokens may be in `_newest` instead of in the rows. Whatever
    else is done with the rows moves them there first.
    """

    def __init__(self, rows: Sequence[RowKV]) -> None:
        quantized_attention()  # makes models attend to caches of this class
        super().__init__(rows)
        self._newest: NewestTokens | None = None
        self._has_kernel = False

    @property
    def rows(self) -> list[RowKV]:
        """Each with all its tokens."""
        if self._newest is not None and self._newest.num_tokens:
            self._newest.move()
        return self._rows

    @property
    def num_newest(self) -> int:
        """How many tokens of each row are not in the row yet."""
        return self._newest.num_tokens if self._newest is not None else 0

    @property
    def nbytes(self) -> int:
        return super().nbytes + (self._newest.nbytes if self._newest is not None else 0)

    def filter(self, indices: Sequence[int]) -> None:
        super().filter(indices)
        self._newest = None

    def extend(self, other: RowBatch) -> None:
        super().extend(other)
        self._newest = None

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[RowsKV, RowsKV]:
        if self._has_kernel and self._is_one_token_of_each(keys):
            self._newest = self._newest or NewestTokens(self._rows, keys, values)
            self._newest.add(keys, values)
        else:
            self.append(keys, values)
        return self, self

    def _is_one_token_of_each(self, array: mx.array) -> bool:
        """Of several rows: an array [rows, heads, tokens, size]."""
        return array.shape[2] == 1 and len(self._rows) > 1 and self._lengths is None

    def attend(self, queries: mx.array, scale: float, *, mask: Any = None, values: Any = None) -> mx.array:  # noqa: ARG002 - they are the rows'
        """Attention [rows, query heads, tokens, size] of the tokens added last. Padding gets zeros.

        Raises:
            NotImplementedError: the model masks by itself.
        """
        if isinstance(mask, mx.array):
            raise NotImplementedError("rows support causal attention only")
        return self.attend_by(queries, Scoring(scale))

    def attend_by(self, queries: mx.array, scoring: Scoring) -> mx.array:
        """As `attend`, with scores that are made in another way."""
        if self._is_single:
            return self._rows[0].attend(queries, scoring)
        scale, sinks, cap = scoring
        if self._is_one_token_of_each(queries) and self._rows[0].bits is None:
            if _backend() == "cpu" and not attends_faster(queries.shape, self.size()):
                return self._attend_to_one_token(queries, scoring)
            has_kernel = _backend() != "cpu" and cap is None
            if has_kernel and attends_at_once(queries, *self._rows[0].arrays, has_sinks=sinks is not None):
                return self._attend_at_once(queries, scale, sinks)
        outputs = [
            row.attend(of_row, scoring) if of_row.shape[2] else of_row
            for row, of_row in zip(self.rows, self.split_rows(queries), strict=True)
        ]
        return joined(outputs, int(queries.shape[2]))

    def _attend_at_once(self, queries: mx.array, scale: float, sinks: mx.array | None) -> mx.array:
        self._has_kernel = True
        num_newest = self.num_newest
        held = [_held(row, num_newest) for row in self._rows]
        newest = self._newest.for_kernel if self._newest is not None else None
        return attend_all(queries, held, scale, sinks=sinks, newest=newest)

    def _attend_to_one_token(self, queries: mx.array, scoring: Scoring) -> mx.array:
        """As `attend_by`, with fewer operations: a CPU pays for starting each of them for each row.

        Query heads that share keys, [rows, query heads, 1, size], are multiplied with them at once.
        """
        scale, sinks, cap = scoring
        num_rows, num_heads, _, size = queries.shape
        shared = self.rows[0].arrays[0].shape[1]
        grouped = (queries * scale).reshape(num_rows, shared, num_heads // shared, size)
        by_head = sinks.reshape(shared, -1, 1) if sinks is not None else None
        outputs = []
        for row, of_row in zip(self.rows, mx.split(grouped, num_rows), strict=True):
            keys, values = row.visible(1, queries.dtype)
            scores = of_row @ keys.swapaxes(-1, -2)
            scores = scores if cap is None else capped(scores, cap)
            if by_head is not None:
                outputs.append(sums_beside_sinks(scores, values, by_head))
            else:
                outputs.append(mx.softmax(scores, axis=-1, precise=True) @ values)
        return mx.concatenate(outputs).reshape(num_rows, num_heads, 1, -1)

    def make_mask(
        self, num_tokens: int, *, return_array: bool = False, window_size: int | None = None
    ) -> Literal["causal"] | None:
        """Not an array: each row applies causal attention itself. A model that computes with its mask fails on it.

        Raises:
            NotImplementedError: the rows attend to another number of tokens.
        """
        self.require_window(window_size)
        return "causal" if return_array and num_tokens > 1 else None


def joined(outputs: Sequence[mx.array], num_tokens: int) -> mx.array:
    """The outputs of rows [1, heads, own tokens, size], as one array of `num_tokens` each. Padding gets zeros."""
    padded = [
        mx.pad(each, [(0, 0), (0, 0), (0, num_tokens - each.shape[2]), (0, 0)]) if each.shape[2] < num_tokens else each
        for each in outputs
    ]
    return padded[0] if len(padded) == 1 else mx.concatenate(padded, axis=0)


def _held(row: RowKV, num_newest: int) -> RowArrays:
    """What the kernel takes of a row that `num_newest` tokens are missing from."""
    keys, values = row.arrays
    return keys, values, row.first_visible(1 - num_newest) - row.start, row.offset - row.start


@cache
def _backend() -> Backend:
    return device_info().backend


BATCHES["attending"] = RowsKV
