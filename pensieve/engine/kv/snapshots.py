"""What a model's caches hold, taken out of them whole: a snapshot after a certain token (C2).

Where every layer has a plain KVCache, or a row of its own, the keys and values of each token are its own, and can be
cut anywhere and joined (`kv.segments`). Every other kind (a window that rotates, a recurrent state, lists
of caches, quantised ones) is kept as a whole.

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

from pensieve.engine.kv.blocks import HostArray, KVBlock
from pensieve.engine.kv.host_arrays import from_host, to_host
from pensieve.engine.kv.rows import RowKV

MapArray = Callable[[mx.array], Any]


def has_growing_layout(caches: Sequence[Any]) -> bool:
    """Whether keys and values of a prompt can be cut at any token."""
    from mlx_lm.models.cache import KVCache  # noqa: PLC0415 - transformers takes seconds to import

    return bool(caches) and all(type(cache) in (KVCache, RowKV) for cache in caches)


def num_cached_tokens(caches: Sequence[Any]) -> int | None:
    """The tokens that caches hold the work of, if any of them says so: recurrent ones do not count."""
    for cache in caches:
        offset = getattr(cache, "offset", None)
        offset = num_cached_tokens(getattr(cache, "caches", ())) if offset is None else offset
        if isinstance(offset, int):
            return offset
    return None


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
        return [_made(kind, _mapped(state, copy.copy)) for kind, state in pairs]

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
    """Caches without their last `num_tokens`, leaving the given ones as they are; None where that cannot be.

    A cache of chunks whose beginning is dropped would lack what its last tokens looked back to.
    """
    if any(not cache.is_trimmable() or getattr(cache, "start_position", 0) for cache in caches):
        return None
    copies = Snapshot.of(caches).caches()
    for cache in copies:
        cache.trim(num_tokens)
    return copies


def _state(cache: Any) -> Any:
    """A cache's state, without the room that a KVCache keeps for tokens to come."""
    from mlx_lm.models.cache import KVCache  # noqa: PLC0415 - transformers takes seconds to import

    if type(cache) is KVCache and cache.keys is not None:
        return (*cache.keys_and_values(), cache.offset)
    can_be_made = isinstance(cache, RowKV) or hasattr(cache, "from_state")
    return cache.state if can_be_made else tuple(vars(cache).items())


def _made(kind: Any, state: Any) -> Any:
    """A cache in this state. A kind that is a model's own need not be able to make one: it gets its attributes back."""
    if hasattr(kind, "from_state"):
        return kind.from_state(state)
    cache = kind.__new__(kind)
    vars(cache).update(state)
    return cache


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
