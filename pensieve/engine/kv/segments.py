"""Keys and values of a span of tokens: cut out of caches for the prompt cache, and joined into new rows (C2).

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from pensieve.engine.kv.blocks import HostArray, KVBlock
from pensieve.engine.kv.host_arrays import from_host, to_host
from pensieve.engine.kv.rows.row import RowKV, room_for

Span = tuple[int, int]
"""Token offsets: start and end."""


@dataclass(frozen=True, slots=True)
class KVSegment:
    """Keys and values of a span of tokens, in memory of its own.

    For each layer it has two arrays [1, heads, tokens, size], or with `bits` six: codes, scales and biases of the keys,
    then of the values.
    """

    arrays: tuple[mx.array, ...]
    """Layer by layer."""
    bits: int | None = None

    @classmethod
    def of(cls, caches: Sequence[Any], start: int, end: int) -> KVSegment:
        return cls.pieces(caches, [(start, end)])[0]

    @classmethod
    def pieces(cls, caches: Sequence[Any], spans: Sequence[Span], *, move: bool = False) -> list[KVSegment]:
        """Copy one segment for each span of tokens.

        With `move`, rows are emptied layer by layer as they are copied, so at most one layer exists twice.
        """
        segments: list[list[mx.array]] = [[] for _ in spans]
        for cache in caches:
            arrays = _cache_arrays(cache)
            for segment, (start, end) in zip(segments, spans, strict=True):
                segment.extend(_parts(arrays, start, end))
            if move and isinstance(cache, RowKV):
                cache.arrays, cache.offset = (), 0
        return [cls(tuple(segment), _bits(caches)) for segment in segments]

    @property
    def num_tokens(self) -> int:
        return int(self.arrays[0].shape[2])

    @property
    def num_bytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)

    def part(self, start: int, end: int) -> KVSegment:
        """The tokens from `start` to `end`: a copy, or this segment itself if that is all of it."""
        whole = (start, end) == (0, self.num_tokens)
        return self if whole else KVSegment(_parts(self.arrays, start, end), self.bits)

    def split(self, at: int) -> tuple[KVSegment, KVSegment]:
        return self.part(0, at), self.part(at, self.num_tokens)

    @staticmethod
    def to_host(caches: Sequence[Any], start: int, end: int) -> tuple[Any, list[HostArray]]:
        """The form and arrays of a disk block with the tokens from `start` to `end`."""
        arrays = [array for cache in caches for array in _cache_arrays(cache)]
        return _form(_bits(caches)), to_host(arrays, (slice(None), slice(None), slice(start, end)))

    @staticmethod
    def joined_to_host(segments: Sequence[KVSegment], start: int, end: int) -> tuple[Any, list[HostArray]]:
        """As `to_host`, from the consecutive segments of a prompt. Copies those tokens alone."""
        parts = _overlapping(segments, start, end)
        arrays = [mx.concatenate(list(layer), axis=2) for layer in zip(*(part.arrays for part in parts), strict=True)]
        return _form(parts[0].bits), to_host(arrays)

    @classmethod
    def from_block(cls, block: KVBlock) -> KVSegment:
        """Raises:
        ValueError: the block does not hold keys and values of its tokens.
        """
        arrays = tuple(map(from_host, block.arrays))
        length = len(block.token_ids)
        fits = all(array.ndim == 4 and array.shape[2] == length for array in arrays)
        bits = block.form.get("bits") if isinstance(block.form, dict) else None
        if not arrays or not fits or block.form != _form(bits):
            raise ValueError("the block does not hold keys and values of its tokens")
        mx.eval(arrays)
        return cls(arrays, bits)


def join(parts: Sequence[KVSegment], num_tokens: int, *, room_tokens: int = 0) -> list[RowKV]:
    """New rows with the first `num_tokens` of the joined parts, and room for `room_tokens`. Copies once."""
    return _join([list(part.arrays) for part in parts], parts[0].bits, num_tokens, room_tokens)


def join_emptying(parts: list[KVSegment], num_tokens: int, *, room_tokens: int = 0) -> list[RowKV]:
    """As `join`, but frees the parts layer by layer, and empties the list. The parts must have no other owner."""
    bits, arrays = parts[0].bits, [list(part.arrays) for part in parts]
    parts.clear()
    return _join(arrays, bits, num_tokens, room_tokens)


def _join(parts: list[list[mx.array]], bits: int | None, num_tokens: int, room_tokens: int) -> list[RowKV]:
    """Empties each part, a list of arrays, from its end."""
    room = room_for(max(num_tokens, room_tokens))
    last_tokens = num_tokens - sum(int(part[0].shape[2]) for part in parts[:-1])
    rows = []
    while parts[0]:
        layer = []
        for _ in range(_num_arrays(bits)):
            *first, last = [part.pop() for part in parts]
            empty = mx.zeros((*last.shape[:2], room - num_tokens, last.shape[3]), last.dtype)
            layer.append(mx.concatenate([*first, last[:, :, :last_tokens], empty], axis=2))
        mx.eval(layer)
        rows.append(RowKV(tuple(reversed(layer)), num_tokens, bits=bits))
    return rows[::-1]


def _overlapping(segments: Sequence[KVSegment], start: int, end: int) -> list[KVSegment]:
    parts, at = [], 0
    for segment in segments:
        first, last = max(start - at, 0), min(end - at, segment.num_tokens)
        if first < last:
            parts.append(segment.part(first, last))
        at += segment.num_tokens
    return parts


def bytes_per_token(caches: Sequence[Any]) -> int:
    """The caches must be plain (see `has_growing_layout`) and not empty."""
    return sum(array.nbytes // array.shape[2] for cache in caches for array in _cache_arrays(cache))


def _cache_arrays(cache: Any) -> Sequence[mx.array]:
    return cache.arrays if isinstance(cache, RowKV) else (cache.keys, cache.values)


def _bits(caches: Sequence[Any]) -> int | None:
    return caches[0].bits if isinstance(caches[0], RowKV) else None


def _num_arrays(bits: int | None) -> int:
    return 2 if bits is None else 6


def _form(bits: int | None) -> dict[str, object]:
    """The description of a disk block's arrays."""
    return {"layout": "joined"} if bits is None else {"layout": "joined", "bits": bits}


def _parts(arrays: Sequence[mx.array], start: int, end: int) -> tuple[mx.array, ...]:
    """Copies of the tokens from `start` to `end`. A slice would keep the whole array alive."""
    parts = []
    for array in arrays:
        part = mx.concatenate([array[:, :, :0], array[:, :, start:end]], axis=2)
        mx.eval(part)  # one by one, so that at most one array exists twice
        parts.append(part)
    return tuple(parts)
