"""Keys and values of requests that are decoded together, each with memory of its own (S7, S8).

mlx-lm's batch caches are one array, padded to the longest row and copied whole whenever a row joins or leaves: three
times the memory that the requests need, at moments that nobody can foresee. Here a row is an array of its own. It
joins and leaves without a copy, is never padded, and grows by itself; so what was promised to a request is what it
takes. Attention is computed row by row, which reads the same bytes.

`RowsKV` is a batch cache of mlx-lm's kind: one for each layer, with the methods that `BatchGenerator` calls. What it
hands to a model as its keys goes, untouched, to `mlx_lm.models.base.scaled_dot_product_attention`, which sends every
cache with `bits` on to a function of its module; `attend_by_rows` puts itself before that function.

All on the thread that owns MLX.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import mlx.core as mx

from pensieve.device.device import Backend, device_info
from pensieve.engine.kv.causal_attention import causal_attention

GROWTH_TOKENS: Final = 256
"""A row grows by so many tokens at a time."""

_LONGEST_QUANTIZED_QUERY: Final = 8
"""More tokens at once are attended to with the keys unpacked: quantised attention would hold all their scores. Metal
alone has it: a CPU is slow at it, and CUDA has no kernel for it."""


def room_for(num_tokens: int) -> int:
    """The tokens that a row has memory for when it holds `num_tokens`."""
    return -(-num_tokens // GROWTH_TOKENS) * GROWTH_TOKENS


class RowKV:
    """Keys and values of one request in one layer.

    `arrays` are keys and values [1, heads, room, size], of which the first `offset` tokens count; with `bits`, codes,
    scales and biases of the keys and then of the values (`mlx.core.quantize`). `min_room` tokens are made room for at
    once, so that a prompt whose length is known is not copied while it is read.
    """

    def __init__(
        self, arrays: tuple[mx.array, ...] = (), offset: int = 0, *, bits: int | None = None, min_room: int = 0
    ) -> None:
        self.arrays = arrays
        self.offset = offset
        self.bits = bits
        self.min_room = min_room

    def as_kv_cache(self) -> Any:
        """The same as a KVCache of mlx-lm's, without a copy. Not of quantised rows."""
        from mlx_lm.models.cache import KVCache  # noqa: PLC0415 - transformers takes seconds to import

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
        """Add tokens: keys and values [1, heads, tokens, size]."""
        added = (keys, values) if self.bits is None else self._quantized(keys, values)
        start, end = self.offset, self.offset + int(keys.shape[2])
        if end > self.room:
            self._grow(added, max(end, self.min_room))
        # Plain loops here and below: a step of sixteen requests comes by a thousand times.
        for index, new in enumerate(added):
            self.arrays[index][:, :, start:end] = new
        self.offset = end

    def filled(self) -> tuple[mx.array, ...]:
        """The arrays without the room for tokens to come; views."""
        return self.arrays if self.offset == self.room else tuple(array[:, :, : self.offset] for array in self.arrays)

    def attend(self, queries: mx.array, scale: float) -> mx.array:
        """Attention of the last tokens, queries [1, query heads, tokens, size], to all that are here up to each."""
        num_tokens = int(queries.shape[2])
        mask: str | mx.array | None = "causal" if num_tokens > 1 else None
        if self.bits is not None and num_tokens <= _LONGEST_QUANTIZED_QUERY and _backend() == "metal":
            return self._quantized_attention(queries, scale, mask)
        arrays = self.filled()
        keys, values = arrays if self.bits is None else self._unpacked(arrays, queries.dtype)
        if mask is not None and _backend() == "cuda":
            return causal_attention(queries, keys, values, scale)
        return mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask=mask)

    def _quantized_attention(self, queries: mx.array, scale: float, mask: str | mx.array | None) -> mx.array:
        from mlx_lm.models import base  # noqa: PLC0415 - only after import_mlx_lm

        arrays = self.filled()
        attention: Callable[..., mx.array] = base.quantized_scaled_dot_product_attention
        return attention(
            queries, arrays[:3], arrays[3:], scale=scale, mask=mask, group_size=self._group_size, bits=self.bits
        )

    def _quantized(self, keys: mx.array, values: mx.array) -> tuple[mx.array, ...]:
        sizes = [(each, quantized_group_size(int(each.shape[-1]))) for each in (keys, values)]
        return tuple(part for each, size in sizes for part in mx.quantize(each, group_size=size, bits=self.bits))

    def _grow(self, added: Sequence[mx.array], num_tokens: int) -> None:
        """Make room for `num_tokens`. What is there is copied once, and the room beyond it is zeros."""
        held = self.filled() if self.arrays else tuple(each[:, :, :0] for each in added)
        missing = room_for(num_tokens) - self.offset
        self.arrays = tuple(
            mx.concatenate([old, mx.zeros((*new.shape[:2], missing, new.shape[3]), new.dtype)], axis=2)
            for old, new in zip(held, added, strict=True)
        )

    def _unpacked(self, arrays: Sequence[mx.array], dtype: mx.Dtype) -> list[mx.array]:
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
    """The group in which a head's numbers are quantised.

    Raises:
        ValueError: MLX has no group that divides the head.
    """
    for group_size in (64, 32):
        if size % group_size == 0:
            return group_size
    raise ValueError(f"heads of {size} numbers cannot be quantised: a multiple of 32 is needed")


class RowsKV:
    """The rows of one layer, as one of mlx-lm's batch caches."""

    bits = group_size = 0
    """That they are there is what has mlx-lm send attention our way."""

    def __init__(self, rows: Sequence[RowKV]) -> None:
        attend_by_rows()
        self.rows = list(rows)
        self._lengths: list[int] | None = None
        self._offsets: mx.array | None = None

    def __deepcopy__(self, _: dict[int, Any]) -> RowsKV:
        """mlx-lm copies a batch to split it: each row then belongs to one of the two."""
        return RowsKV(self.rows)

    @property
    def offset(self) -> mx.array:
        """The position of each row's next token, int32 [rows]."""
        if self._offsets is None:
            self._offsets = mx.array([row.offset for row in self.rows])
        return self._offsets

    @property
    def state(self) -> list[tuple[mx.array, ...]]:
        return [row.arrays for row in self.rows]

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self.rows)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[RowsKV, RowsKV]:
        """Add tokens to every row: [rows, heads, tokens, size], of which `prepare` may have said how many count."""
        for row, new_keys, new_values in zip(self.rows, self._apart(keys), self._apart(values), strict=True):
            if self._lengths is None or new_keys.shape[2]:
                row.append(new_keys, new_values)
        self._offsets = None
        return self, self

    def attend(self, queries: mx.array, scale: float) -> mx.array:
        """Attention of the tokens that were added last, [rows, query heads, tokens, size]; padding gives zeros."""
        num_tokens = int(queries.shape[2])
        if num_tokens == 1 and len(self.rows) > 1 and _backend() == "cpu" and self.rows[0].bits is None:
            return self._attend_to_one_token(queries, scale)
        outputs = []
        for row, asked in zip(self.rows, self._apart(queries), strict=True):
            output = row.attend(asked, scale) if asked.shape[2] else asked
            padding = num_tokens - int(asked.shape[2])
            outputs.append(mx.pad(output, [(0, 0), (0, 0), (0, padding), (0, 0)]) if padding else output)
        return outputs[0] if len(outputs) == 1 else mx.concatenate(outputs, axis=0)

    def _attend_to_one_token(self, queries: mx.array, scale: float) -> mx.array:
        """The same in fewer operations, of which a CPU has to start each for each row.

        The query heads that share a head's keys [rows, query heads, 1, size] are multiplied with it at once.
        """
        num_rows, num_heads, _, size = queries.shape
        shared = self.rows[0].arrays[0].shape[1]
        grouped = (queries * scale).reshape(num_rows, shared, num_heads // shared, size)
        outputs = []
        for row, asked in zip(self.rows, mx.split(grouped, num_rows), strict=True):
            keys, values = (array[:, :, : row.offset] for array in row.arrays)
            outputs.append(mx.softmax(asked @ keys.swapaxes(-1, -2), axis=-1, precise=True) @ values)
        return mx.concatenate(outputs).reshape(num_rows, num_heads, 1, -1)

    def make_mask(self, num_tokens: int, *, return_array: bool = False, window_size: int | None = None) -> None:
        """None: each row knows what comes before what.

        Raises:
            NotImplementedError: the model wants a mask that rows do not go by.
        """
        if window_size is not None or (return_array and num_tokens > 1):
            raise NotImplementedError("rows of their own attend to all that comes before")

    def prepare(self, *, lengths: Sequence[int], right_padding: Sequence[int]) -> None:  # noqa: ARG002 - mlx-lm's words
        """Of the tokens that are added until `finalize`, only so many of each row count."""
        self._lengths = list(lengths)

    def finalize(self) -> None:
        self._lengths = None

    def filter(self, indices: Sequence[int]) -> None:
        self.rows = [self.rows[index] for index in indices]
        self._offsets = None

    def extend(self, other: RowsKV) -> None:
        self.rows += other.rows
        self._offsets = None

    def extract(self, index: int) -> RowKV:
        """A row, as it is until the next step: to be looked at, or the row's own when it has left the batch."""
        return copy.copy(self.rows[index])

    def size(self) -> int:
        return max((row.offset for row in self.rows), default=0)

    def empty(self) -> bool:
        return not self.rows

    def _apart(self, array: mx.array) -> Sequence[mx.array]:
        """[rows, heads, tokens, size] as one array for each row, of the tokens that count."""
        parts = list(mx.split(array, len(self.rows))) if len(self.rows) > 1 else [array]
        if self._lengths is None:
            return parts
        return [part[:, :, :length] for part, length in zip(parts, self._lengths, strict=True)]


def attend_by_rows() -> None:
    """Have mlx-lm's models attend to `RowsKV`. Once for the process, after mlx-lm is imported; again does nothing."""
    from mlx_lm.models import base  # noqa: PLC0415 - only after import_mlx_lm

    others: Callable[..., mx.array] = base.quantized_scaled_dot_product_attention
    if getattr(others, "knows_rows", False):
        return

    def attention(queries: mx.array, keys: Any, values: Any, scale: float, **further: Any) -> mx.array:
        if isinstance(keys, RowsKV):
            return keys.attend(queries, scale)
        return others(queries, keys, values, scale=scale, **further)

    attention.knows_rows = True  # type: ignore[attr-defined]
    attention.others = others  # type: ignore[attr-defined]
    base.quantized_scaled_dot_product_attention = attention
