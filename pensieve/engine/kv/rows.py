"""Rows: the keys and values of requests that are decoded together, each in its own memory (S7, S8).

mlx-lm's batch cache is one array, padded to the longest row and copied whole whenever a row joins or leaves. That can
take three times the memory that the requests need, at unpredictable moments. Here a row is an array of its own: it
joins and leaves without a copy, is never padded, and grows by itself, so a request takes what was reserved for it.
Attention reads the same bytes: on GPUs in one kernel for all rows (`ragged_attention`), else row by row.

`RowsKV` acts as mlx-lm's batch caches: one for each layer, with their public methods. It attends by itself
(`pensieve.device.mlx_lm.attention`).

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import mlx.core as mx

from pensieve.core.errors import ValidationError
from pensieve.device.device import Backend, device_info
from pensieve.device.mlx_lm.attention import AttendingCache, quantized_attention
from pensieve.device.mlx_lm.positions import POSITIONS
from pensieve.engine.kv.causal_attention import attends_faster, causal_attention
from pensieve.engine.kv.ragged_attention import attend_all, attends_at_once

GROWTH_TOKENS: Final = 256
"""A row grows by this number of tokens at a time."""

_MAX_QUANTIZED_QUERY: Final = 8
"""For more tokens at once the keys are dequantised, since quantised attention would hold all their scores.

Only Metal uses quantised attention: a CPU is slow at it, and CUDA has no kernel for it.
"""


def room_for(num_tokens: int) -> int:
    """The tokens that a row has memory for if it holds `num_tokens`."""
    return -(-num_tokens // GROWTH_TOKENS) * GROWTH_TOKENS


class RowKV:
    """Keys and values of one request in one layer.

    `arrays` are keys and values [1, heads, room, size], of which the first `offset` tokens are filled; with `bits`,
    codes, scales and biases of the keys, then of the values (`mlx.core.quantize`). The first growth makes room for
    `min_room` tokens, so that a prompt of known length is not copied during its prefill.
    """

    def __init__(
        self, arrays: tuple[mx.array, ...] = (), offset: int = 0, *, bits: int | None = None, min_room: int = 0
    ) -> None:
        self.arrays = arrays
        self.offset = offset
        self.bits = bits
        self.min_room = min_room

    @classmethod
    def of(cls, cache: Any, *, min_room: int = 0) -> RowKV:
        """mlx-lm's KVCache as a row, without a copy."""
        arrays = () if cache.keys is None else (cache.keys, cache.values)
        return cls(arrays, cache.offset, min_room=min_room)

    def as_kv_cache(self) -> Any:
        """The row as mlx-lm's KVCache, without a copy. Not for quantised rows."""
        from pensieve.device.mlx_lm.caches import KVCache  # noqa: PLC0415 - half a second

        cache = KVCache()
        if self.arrays:
            cache.keys, cache.values = self.arrays
            cache.offset = self.offset
        return cache

    @property
    def room(self) -> int:
        return int(self.arrays[0].shape[2]) if self.arrays else 0

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)

    @property
    def state(self) -> tuple[Any, ...]:
        return (*self.filled(), self.offset)

    def size(self) -> int:
        return self.offset

    def empty(self) -> bool:
        return not self.arrays

    @classmethod
    def merge(cls, rows: Sequence[RowKV]) -> RowsKV:
        return RowsKV(rows)

    def append(self, keys: mx.array, values: mx.array) -> None:
        """Add keys and values [1, heads, tokens, size]."""
        added = (keys, values) if self.bits is None else self._quantized(keys, values)
        start, end = self.offset, self.offset + int(keys.shape[2])
        if end > self.room:
            self._grow(added, max(end, self.min_room))
        # Plain loops here and below: a step with sixteen requests runs them a thousand times.
        for index, new in enumerate(added):
            self.arrays[index][:, :, start:end] = new
        self.offset = end

    def filled(self) -> tuple[mx.array, ...]:
        """The arrays without their unfilled room, as views."""
        return self.arrays if self.offset == self.room else tuple(array[:, :, : self.offset] for array in self.arrays)

    def attend(self, queries: mx.array, scale: float) -> mx.array:
        """Causal attention of the last tokens, queries [1, query heads, tokens, size], to all tokens of the row."""
        num_tokens = int(queries.shape[2])
        mask: str | mx.array | None = "causal" if num_tokens > 1 else None
        if self.bits is not None and num_tokens <= _MAX_QUANTIZED_QUERY and _backend() == "metal":
            return self._quantized_attention(queries, scale, mask)
        arrays = self.filled()
        keys, values = arrays if self.bits is None else self._dequantized(arrays, queries.dtype)
        if attends_faster(queries.shape, self.offset):
            return causal_attention(queries, keys, values, scale)
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)

    def _quantized_attention(self, queries: mx.array, scale: float, mask: str | mx.array | None) -> mx.array:
        arrays = self.filled()
        return quantized_attention()(
            queries, arrays[:3], arrays[3:], scale=scale, mask=mask, group_size=self._group_size, bits=self.bits
        )

    def _quantized(self, keys: mx.array, values: mx.array) -> tuple[mx.array, ...]:
        sizes = [(each, quantized_group_size(int(each.shape[-1]))) for each in (keys, values)]
        return tuple(part for each, size in sizes for part in mx.quantize(each, group_size=size, bits=self.bits))

    def _grow(self, added: Sequence[mx.array], num_tokens: int) -> None:
        """Make room for `num_tokens`. Copies what is filled once; the new room is zeros."""
        filled = self.filled() if self.arrays else tuple(each[:, :, :0] for each in added)
        missing = room_for(num_tokens) - self.offset
        self.arrays = tuple(
            mx.concatenate([old, mx.zeros((*new.shape[:2], missing, new.shape[3]), new.dtype)], axis=2)
            for old, new in zip(filled, added, strict=True)
        )

    def _dequantized(self, arrays: Sequence[mx.array], dtype: mx.Dtype) -> list[mx.array]:
        return [
            mx.dequantize(codes, scales, biases, group_size=self._group_size, bits=self.bits).astype(dtype)
            for codes, scales, biases in (arrays[:3], arrays[3:])
        ]

    @property
    def _group_size(self) -> int:
        codes, scales = self.arrays[:2]
        return int(codes.shape[-1]) * 32 // (self.bits or 1) // int(scales.shape[-1])


@cache
def _backend() -> Backend:
    return device_info().backend


def quantized_group_size(size: int) -> int:
    """The group size for quantising heads of `size` numbers.

    Raises:
        ValidationError: no group size of MLX divides it.
    """
    for group_size in (64, 32):
        if size % group_size == 0:
            return group_size
    raise ValidationError("--kv-bits", f"the model has heads of {size} numbers, not a multiple of 32: omit the flag")


class RowsKV(AttendingCache):
    """The rows of one layer, in the form of mlx-lm's batch caches."""

    def __init__(self, rows: Sequence[RowKV]) -> None:
        quantized_attention()  # makes models attend to caches of this class
        self.rows = list(rows)
        self._lengths: list[int] | None = None

    def __deepcopy__(self, _: dict[int, Any]) -> RowsKV:
        """A batch is copied to be split; each row then belongs to one of the two."""
        return RowsKV(self.rows)

    @property
    def offset(self) -> mx.array:
        """The position of each row's next token, int32 [rows]."""
        return POSITIONS.array(tuple(row.offset for row in self.rows))

    @property
    def state(self) -> list[tuple[mx.array, ...]]:
        return [row.arrays for row in self.rows]

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self.rows)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[RowsKV, RowsKV]:
        """Add keys and values [rows, heads, tokens, size]; after `prepare`, only each row's first tokens are added."""
        for row, new_keys, new_values in zip(self.rows, self._split_rows(keys), self._split_rows(values), strict=True):
            if self._lengths is None or new_keys.shape[2]:
                row.append(new_keys, new_values)
        return self, self

    def attend(self, queries: mx.array, scale: float) -> mx.array:
        """Attention [rows, query heads, tokens, size] of the tokens added last. Padding gets zeros."""
        num_tokens = int(queries.shape[2])
        if num_tokens == 1 and len(self.rows) > 1 and self._lengths is None and self.rows[0].bits is None:
            if _backend() == "cpu" and not attends_faster(queries.shape, self.size()):
                return self._attend_to_one_token(queries, scale)
            if _backend() != "cpu" and attends_at_once(queries, *self.rows[0].arrays):
                return attend_all(queries, [(*row.arrays, row.offset) for row in self.rows], scale)  # type: ignore[misc]
        outputs = []
        for row, of_row in zip(self.rows, self._split_rows(queries), strict=True):
            output = row.attend(of_row, scale) if of_row.shape[2] else of_row
            padding = num_tokens - int(of_row.shape[2])
            outputs.append(mx.pad(output, [(0, 0), (0, 0), (0, padding), (0, 0)]) if padding else output)
        return outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=0)

    def _attend_to_one_token(self, queries: mx.array, scale: float) -> mx.array:
        """As `attend`, with fewer operations: a CPU pays for starting each of them for each row.

        Query heads that share keys, [rows, query heads, 1, size], are multiplied with them at once.
        """
        num_rows, num_heads, _, size = queries.shape
        shared = self.rows[0].arrays[0].shape[1]
        grouped = (queries * scale).reshape(num_rows, shared, num_heads // shared, size)
        outputs = []
        for row, of_row in zip(self.rows, mx.split(grouped, num_rows), strict=True):
            keys, values = (array[:, :, : row.offset] for array in row.arrays)
            outputs.append(mx.softmax(of_row @ keys.swapaxes(-1, -2), axis=-1, precise=True) @ values)
        return mx.concatenate(outputs).reshape(num_rows, num_heads, 1, -1)

    def make_mask(self, num_tokens: int, *, return_array: bool = False, window_size: int | None = None) -> None:
        """None: each row applies causal attention itself.

        Raises:
            NotImplementedError: the model needs another mask.
        """
        if window_size is not None or (return_array and num_tokens > 1):
            raise NotImplementedError("rows support causal attention only, without a window or an array mask")

    def prepare(self, *, lengths: Sequence[int], right_padding: Sequence[int]) -> None:  # noqa: ARG002 - mlx-lm's signature
        """Until `finalize`, add only the first `lengths[i]` of the tokens given for row i."""
        self._lengths = list(lengths)

    def finalize(self) -> None:
        self._lengths = None

    def filter(self, indices: Sequence[int]) -> None:
        self.rows = [self.rows[index] for index in indices]

    def extend(self, other: RowsKV) -> None:
        self.rows += other.rows

    @property
    def lengths(self) -> list[int]:
        return [row.offset for row in self.rows]

    def cut(self, num_tokens: Sequence[int]) -> None:
        """Remove the last `num_tokens[i]` tokens of row i."""
        for row, num in zip(self.rows, num_tokens, strict=True):
            row.offset -= num

    def extract(self, index: int) -> RowKV:
        """A row as it is until the next step. It may be kept only if the row has left the batch."""
        return copy.copy(self.rows[index])

    def size(self) -> int:
        return max((row.offset for row in self.rows), default=0)

    def empty(self) -> bool:
        return not self.rows

    def _split_rows(self, array: mx.array) -> Sequence[mx.array]:
        """Split [rows, heads, tokens, size] into one array for each row, without padding."""
        parts = list(mx.split(array, len(self.rows))) if len(self.rows) > 1 else [array]
        if self._lengths is None:
            return parts
        return [part[:, :, :length] for part, length in zip(parts, self._lengths, strict=True)]


def in_rows(caches: Sequence[Any], *, min_room: int = 0) -> list[Any]:
    """One request's caches, with rows in the place of plain KVCaches."""
    from pensieve.device.mlx_lm.caches import KVCache  # noqa: PLC0415 - half a second

    return [RowKV.of(each, min_room=min_room) if type(each) is KVCache else each for each in caches]


def without_rows(caches: Sequence[Any]) -> list[Any]:
    """The reverse of `in_rows`."""
    return [each.as_kv_cache() if isinstance(each, RowKV) else each for each in caches]
