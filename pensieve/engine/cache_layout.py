"""What mlx-lm's caches hold, taken out of them to be kept, and put into new ones (C2).

Two layouts. Where every layer has a plain KVCache, the keys and values of each token are its own: they can be cut
anywhere and joined. Every other kind (a window that rotates, a recurrent state, lists of caches, quantised ones) is
kept as a whole, as a snapshot after a certain token.

MLX's arrays are handles: assigning to a part of one changes what that handle stands for, never what another handle to
the same memory does. So a handle of one's own is as safe as a copy, and costs nothing until somebody writes.

All on the thread that owns MLX.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import mlx.core as mx

from pensieve.engine.host_arrays import from_host, to_host
from pensieve.engine.kv_file import HostArray, KVBlock

MapArray = Callable[[mx.array], Any]


def has_growing_layout(caches: Sequence[Any]) -> bool:
    """Whether keys and values of a prompt can be cut at any token: each layer has a plain KVCache."""
    from mlx_lm.models.cache import KVCache  # noqa: PLC0415 - transformers takes seconds to import

    return bool(caches) and all(type(cache) is KVCache for cache in caches)


def num_cached_tokens(caches: Sequence[Any]) -> int | None:
    """The tokens that caches hold the work of, if any of them says so: recurrent ones do not count."""
    for cache in caches:
        offset = getattr(cache, "offset", None)
        offset = num_cached_tokens(getattr(cache, "caches", ())) if offset is None else offset
        if isinstance(offset, int):
            return offset
    return None


@dataclass(frozen=True, slots=True)
class JoinedKV:
    """Keys and values of some tokens: for each layer two arrays [1, heads, tokens, size] with memory of their own."""

    arrays: tuple[mx.array, ...]
    """Keys and values of the first layer, of the second, …"""

    @classmethod
    def of(cls, caches: Sequence[Any], start: int, end: int) -> JoinedKV:
        """Those of the tokens from `start` to `end`, copied out of KVCaches."""
        return cls(_parts([array for cache in caches for array in (cache.keys, cache.values)], start, end))

    @property
    def num_tokens(self) -> int:
        return int(self.arrays[0].shape[2])

    @property
    def num_bytes(self) -> int:
        return sum(array.nbytes for array in self.arrays)

    def part(self, start: int, end: int) -> JoinedKV:
        """Copied, unless it is the whole."""
        whole = (start, end) == (0, self.num_tokens)
        return self if whole else JoinedKV(_parts(self.arrays, start, end))

    def split(self, at: int) -> tuple[JoinedKV, JoinedKV]:
        return self.part(0, at), self.part(at, self.num_tokens)

    @staticmethod
    def to_host(caches: Sequence[Any], start: int, end: int) -> tuple[Any, list[HostArray]]:
        """The form and the arrays of a block on disk with the tokens from `start` to `end` of KVCaches."""
        arrays = [array for cache in caches for array in (cache.keys, cache.values)]
        return {"layout": "joined"}, to_host(arrays, (slice(None), slice(None), slice(start, end)))

    @classmethod
    def from_block(cls, block: KVBlock) -> JoinedKV:
        """Raises:
        ValueError: the block holds something else.
        """
        arrays = tuple(map(from_host, block.arrays))
        length = len(block.token_ids)
        fits = all(array.ndim == 4 and array.shape[2] == length for array in arrays)
        if not arrays or not fits or block.form != {"layout": "joined"}:
            raise ValueError("no keys and values of its tokens")
        mx.eval(arrays)
        return cls(arrays)


def join(parts: Sequence[JoinedKV], num_tokens: int) -> list[Any]:
    """New KVCaches with the first `num_tokens` of all parts. One concatenation; of a single part, not even that."""
    from mlx_lm.models.cache import KVCache  # noqa: PLC0415 - transformers takes seconds to import

    into_last = num_tokens - sum(part.num_tokens for part in parts[:-1])
    caches = []
    for layer in range(0, len(parts[0].arrays), 2):
        cache = KVCache()
        cache.keys, cache.values = (_joined([part.arrays[i] for part in parts], into_last) for i in (layer, layer + 1))
        cache.offset = num_tokens
        mx.eval(cache.keys, cache.values)
        caches.append(cache)
    return caches


def bytes_per_token(caches: Sequence[Any]) -> int:
    """Of KVCaches that hold something."""
    return sum(array.nbytes // array.shape[2] for cache in caches for array in (cache.keys, cache.values))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state of caches of any kind after a certain token."""

    classes: tuple[type, ...]
    states: tuple[Any, ...]
    """What mlx-lm's caches call their state: arrays, numbers and strings, nested."""

    @classmethod
    def of(cls, caches: Sequence[Any]) -> Snapshot:
        """By reference where the memory is a cache's own; what is a small part of a large buffer is copied out."""
        arrays: list[mx.array] = []

        def kept(array: mx.array) -> mx.array:
            arrays.append(mx.contiguous(array))
            return arrays[-1]

        states = tuple(_mapped(_state(cache), kept) for cache in caches)
        mx.eval(arrays)
        return cls(tuple(type(cache) for cache in caches), states)

    @property
    def num_bytes(self) -> int:
        return sum(array.nbytes for array in _arrays(self.states))

    def split(self, at: int) -> NoReturn:
        raise TypeError(f"a whole state cannot be cut at {at}")

    def caches(self) -> list[Any]:
        """New caches in this state, with handles of their own: what they become does not change the snapshot."""
        pairs = zip(self.classes, self.states, strict=True)
        return [made.from_state(_mapped(state, copy.copy)) for made, state in pairs]  # type: ignore[attr-defined]

    def to_host(self) -> tuple[Any, list[HostArray]]:
        """The form and the arrays of a block on disk.

        Raises:
            ValueError: a cache is not of mlx-lm's own kinds, so nobody could make it again.
        """
        known = _known_classes()
        names = [made.__name__ for made in self.classes]
        if any(known.get(name) is not made for name, made in zip(names, self.classes, strict=True)):
            raise ValueError(f"caches of {names} cannot be kept on disk")
        return {"layout": "whole", "classes": names, "states": _packed(self.states)}, to_host(_arrays(self.states))

    @classmethod
    def from_block(cls, block: KVBlock) -> Snapshot:
        """Raises:
        ValueError: the block holds something else.
        """
        known, form = _known_classes(), block.form
        try:
            classes = tuple(known[name] for name in form["classes"])
            arrays = [from_host(array) for array in block.arrays]
            states = _unpacked(form["states"], arrays)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError("no state of caches that are known here") from error
        mx.eval(arrays)
        return cls(classes, states)


def trimmed(caches: Sequence[Any], num_tokens: int) -> list[Any] | None:
    """Caches without their last `num_tokens`, leaving the given ones as they are; None where that cannot be."""
    if not all(cache.is_trimmable() for cache in caches):
        return None
    copies = Snapshot.of(caches).caches()
    for cache in copies:
        cache.trim(num_tokens)
    return copies


def _parts(arrays: Sequence[mx.array], start: int, end: int) -> tuple[mx.array, ...]:
    """The tokens from `start` to `end` in memory of their own. A mere slice would hold on to all it was cut from."""
    parts = []
    for array in arrays:
        part = mx.concatenate([array[:, :, :0], array[:, :, start:end]], axis=2)
        mx.eval(part)  # one by one: never more than one array is there twice
        parts.append(part)
    return tuple(parts)


def _joined(arrays: Sequence[mx.array], into_last: int) -> mx.array:
    *first, last = arrays
    if into_last < last.shape[2]:
        last = last[:, :, :into_last]
    return mx.concatenate([*first, last], axis=2) if first else copy.copy(last)


def _state(cache: Any) -> Any:
    """A cache's state, without the room that a KVCache keeps for tokens to come."""
    from mlx_lm.models.cache import KVCache  # noqa: PLC0415 - transformers takes seconds to import

    if type(cache) is KVCache and cache.keys is not None:
        return (*cache.keys_and_values(), cache.offset)
    return cache.state


def _mapped(value: Any, change: MapArray) -> Any:
    if isinstance(value, mx.array):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_mapped(each, change) for each in value)
    return value


def _arrays(value: Any) -> list[mx.array]:
    found: list[mx.array] = []
    _mapped(value, found.append)
    return found


def _packed(value: Any) -> Any:
    """As JSON, with "array" where one belongs, in the order of `_arrays`. Lists and tuples stay apart."""
    if isinstance(value, mx.array):
        return {"array": True}
    if isinstance(value, (list, tuple)):
        return {"tuple" if isinstance(value, tuple) else "list": [_packed(each) for each in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"a cache's state has a {type(value).__name__} in it")


def _unpacked(packed: Any, arrays: Sequence[mx.array]) -> Any:
    remaining = iter(arrays)

    def value_of(part: Any) -> Any:
        if not isinstance(part, dict):
            return part
        if "array" in part:
            return next(remaining)
        if "tuple" in part:
            return tuple(value_of(each) for each in part["tuple"])
        return [value_of(each) for each in part["list"]]

    return value_of(packed)


def _known_classes() -> dict[str, type]:
    from mlx_lm.models import cache  # noqa: PLC0415 - transformers takes seconds to import

    return {name: made for name, made in vars(cache).items() if isinstance(made, type) and hasattr(made, "from_state")}
