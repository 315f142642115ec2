"""A row: the keys and values of one request in one layer, in memory of its own (S7, S8).

mlx-lm's batch cache is one array, padded to the longest row and copied whole whenever a row joins or leaves. That can
take three times the memory that the requests need, at unpredictable moments. Here a row is an array of its own: it
joins and leaves without a copy, is never padded, and grows by itself, so a request takes what was reserved for it.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final, Literal

import mlx.core as mx

from pensieve.core.errors import ValidationError
from pensieve.device.device import Backend, device_info
from pensieve.device.mlx_lm.attention import quantized_attention
from pensieve.engine.kv.causal_attention import Scoring, attends_faster, causal_attention, window_mask

GROWTH_TOKENS: Final = 256
"""A row grows by this number of tokens at a time."""

_MAX_QUANTIZED_QUERY: Final = 8
"""For more tokens at once the keys are dequantised, since quantised attention would hold all their scores.

Only Metal uses quantised attention: a CPU is slow at it, and CUDA has no kernel for it.
"""

Form = Literal["attending", "latent", "gathered"]
"""How a model attends to the rows of a batch: by `RowsKV`, `LatentRows` or `GatheredRows`."""


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
        self,
        arrays: tuple[mx.array, ...] = (),
        offset: int = 0,
        *,
        bits: int | None = None,
        min_room: int = 0,
        form: Form = "attending",
    ) -> None:
        self.arrays = arrays
        self.offset = offset
        self.bits = bits
        self.min_room = min_room
        self.form: Form = form

    @classmethod
    def of(cls, cache: Any, *, bits: int | None = None, min_room: int = 0, form: Form = "attending") -> RowKV:
        """mlx-lm's KVCache as a row, without a copy. With `bits` it must be empty."""
        arrays = () if cache.keys is None else (cache.keys, cache.values)
        return cls(arrays, cache.offset, bits=bits, min_room=min_room, form=form)

    def as_mlx_cache(self) -> Any:
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

    @property
    def start(self) -> int:
        """The position of the first token that `arrays` hold."""
        return 0

    def size(self) -> int:
        return self.offset

    def empty(self) -> bool:
        return not self.arrays

    @classmethod
    def merge(cls, rows: Sequence[RowKV]) -> Any:
        return BATCHES[rows[0].form](rows)

    def append(self, keys: mx.array, values: mx.array) -> None:
        """Add keys and values [1, heads, tokens, size]."""
        added = (keys, values) if self.bits is None else self._quantized(keys, values)
        num_tokens = int(keys.shape[2])
        if self.offset - self.start + num_tokens > self.room:
            self._grow(added, num_tokens)
        begin = self.offset - self.start
        # Plain loops here and below: a step with sixteen requests runs them a thousand times.
        for index, new in enumerate(added):
            self.arrays[index][:, :, begin : begin + num_tokens] = new
        self.offset += num_tokens

    def cut(self, num_tokens: int) -> None:
        """Remove the last tokens."""
        self.offset -= num_tokens

    def filled(self) -> tuple[mx.array, ...]:
        """The arrays without their unfilled room, as views."""
        end = self.offset - self.start
        return self.arrays if end == self.room else tuple(array[:, :, :end] for array in self.arrays)

    def first_visible(self, num_tokens: int) -> int:  # noqa: ARG002 - see WindowRow
        """The position of the first token that any of the last `num_tokens` attends to."""
        return 0

    @property
    def window(self) -> int | None:
        """How many tokens one attends to, itself included. None: all."""
        return None

    def visible(self, num_tokens: int, dtype: mx.Dtype) -> tuple[mx.array, mx.array]:
        """Keys and values of what the last `num_tokens` attend to, dequantised to `dtype`."""
        if self.bits is None:
            begin, end = self.first_visible(num_tokens) - self.start, self.offset - self.start
            keys, values = self.arrays
            return (keys, values) if end - begin == self.room else (keys[:, :, begin:end], values[:, :, begin:end])
        keys, values = self._dequantized(self.filled(), dtype)
        return keys, values

    def mask(self, num_tokens: int, num_keys: int) -> mx.array | None:
        """What each of the last tokens attends to of the keys that are `visible`, bool [tokens, keys]. None: all that
        are not after it.
        """
        window = self.window
        return window_mask(num_tokens, num_keys, window) if window is not None and num_keys > window else None

    def attend(self, queries: mx.array, scoring: Scoring) -> mx.array:
        """Causal attention of the last tokens, queries [1, query heads, tokens, size], to all tokens of the row."""
        num_tokens = int(queries.shape[2])
        is_causal: str | None = "causal" if num_tokens > 1 else None
        if self._is_quantized_attention_faster(num_tokens) and scoring.is_plain:
            return self._quantized_attention(queries, scoring.scale, is_causal)
        keys, values = self.visible(num_tokens, queries.dtype)
        num_keys = int(keys.shape[2])
        mask = self.mask(num_tokens, num_keys) if num_tokens > 1 else None
        if scoring.cap is not None or attends_faster(queries.shape, num_keys):
            return causal_attention(queries, (keys, values), scoring, mask)
        seen = is_causal if mask is None else mask
        return mx.fast.scaled_dot_product_attention(
            queries, keys, values, scale=scoring.scale, mask=seen, sinks=scoring.sinks
        )

    def _is_quantized_attention_faster(self, num_tokens: int) -> bool:
        return self.bits is not None and num_tokens <= _MAX_QUANTIZED_QUERY and _backend() == "metal"

    def _quantized_attention(self, queries: mx.array, scale: float, mask: str | None) -> mx.array:
        arrays = self.filled()
        return quantized_attention()(
            queries, arrays[:3], arrays[3:], scale=scale, mask=mask, group_size=self._group_size, bits=self.bits
        )

    def _quantized(self, keys: mx.array, values: mx.array) -> tuple[mx.array, ...]:
        sizes = [(each, quantized_group_size(int(each.shape[-1]))) for each in (keys, values)]
        return tuple(part for each, size in sizes for part in mx.quantize(each, group_size=size, bits=self.bits))

    def _grow(self, added: Sequence[mx.array], num_tokens: int) -> None:
        """Make room for `num_tokens` more. Copies what is filled once; the new room is zeros."""
        self._replace(added, self.filled(), room_for(max(self.offset + num_tokens, self.min_room)))

    def _replace(self, added: Sequence[mx.array], kept: Sequence[mx.array], room: int) -> None:
        """New arrays that begin with `kept`. Without it, they are like `added`."""
        kept = kept or tuple(each[:, :, :0] for each in added)
        self.arrays = tuple(
            mx.concatenate([old, mx.zeros((*new.shape[:2], room - old.shape[2], new.shape[3]), new.dtype)], axis=2)
            for old, new in zip(kept, added, strict=True)
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


BATCHES: Final[dict[Form, Callable[[Sequence[RowKV]], Any]]] = {}
"""What rows of each form become together. Each form's module adds its own; `forms` imports them all."""


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
