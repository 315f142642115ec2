"""Snapshots: the state of a model's caches after a certain token (C2).

In a layer with a plain KVCache or a `RowKV`, each token has its own keys and values, which can be cut and joined
anywhere (`kv.segments`). Every other kind (rotating windows, recurrent states, quantised caches) is stored whole.

MLX arrays are handles: assigning to a part of an array changes what that handle refers to, never what another handle to
the same memory sees. So a separate handle is as safe as a copy, and costs nothing until one of them is written.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import mlx.core as mx

from pensieve.engine.kv.blocks import HostArray, KVBlock
from pensieve.engine.kv.host_arrays import from_host, to_host
from pensieve.engine.kv.rows.forms import leaves
from pensieve.engine.kv.rows.row import RowKV

MapArray = Callable[[mx.array], Any]


def has_growing_layout(caches: Sequence[Any]) -> bool:
    """Whether the caches' keys and values can be cut at any token."""
    from pensieve.device.mlx_lm.caches import KVCache  # noqa: PLC0415 - half a second

    return bool(caches) and all(type(cache) in (KVCache, RowKV) for cache in leaves(caches))


def num_cached_tokens(caches: Sequence[Any]) -> int | None:
    """The number of tokens that the caches hold, or None if all are recurrent: those do not count their tokens."""
    for cache in caches:
        offset = getattr(cache, "offset", None)
        offset = num_cached_tokens(getattr(cache, "caches", ())) if offset is None else offset
        if isinstance(offset, int):
            return offset
    return None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of caches of any kind after a certain token. It may leave some out: None stands for them."""

    classes: tuple[type, ...]
    states: tuple[Any, ...]
    """mlx-lm's cache states: nested arrays, numbers and strings."""

    @classmethod
    def of(cls, caches: Sequence[Any]) -> Snapshot:
        """Takes references where a cache owns its memory, and copies what is a small part of a large buffer."""
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

    @property
    def is_whole(self) -> bool:
        """Whether it leaves out no cache."""
        return type(None) not in self.classes

    def split(self, at: int) -> NoReturn:
        raise TypeError(f"a snapshot cannot be split at token {at}: it is one whole state")

    def caches(self) -> list[Any]:
        """New caches in this state, with their own handles: changing them does not change the snapshot."""
        pairs = zip(self.classes, self.states, strict=True)
        return [_restored(kind, _mapped(state, copy.copy)) for kind, state in pairs]

    def require_storable(self, own: Collection[type] = ()) -> None:
        """`own` are the classes of the model's caches, which may be classes of its own.

        Raises:
            ValueError: a cache is of neither mlx-lm's classes nor these, so it could not be restored from a file.
        """
        restorable = _restorable_classes(own)
        if any(restorable.get(each.__name__) is not each for each in self.classes):
            names = [each.__name__ for each in self.classes]
            raise ValueError(f"caches of the classes {names} cannot be stored on disk")

    def to_host(self, own: Collection[type] = ()) -> tuple[Any, list[HostArray]]:
        """The form and arrays of a disk block.

        Raises:
            ValueError: see `require_storable`.
        """
        self.require_storable(own)
        names = [each.__name__ for each in self.classes]
        return {"layout": "whole", "classes": names, "states": _packed(self.states)}, to_host(_arrays(self.states))

    @classmethod
    def from_block(cls, block: KVBlock, own: Collection[type] = ()) -> Snapshot:
        """Raises:
        ValueError: the block does not hold a snapshot of mlx-lm's caches, or of the model's `own`.
        """
        restorable, form = _restorable_classes(own), block.form
        try:
            classes = tuple(restorable[name] for name in form["classes"])
            arrays = [from_host(array) for array in block.arrays]
            states = _unpacked(form["states"], arrays)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError("the block does not hold a snapshot of mlx-lm's caches") from error
        mx.eval(arrays)
        return cls(classes, states)


def trimmed(caches: Sequence[Any], num_tokens: int) -> list[Any] | None:
    """Copies of the caches without their last `num_tokens`, or None if they cannot be trimmed.

    A chunked cache that has dropped its beginning cannot: it lacks what the remaining tokens attended to.
    """
    if any(not cache.is_trimmable() or getattr(cache, "start_position", 0) for cache in caches):
        return None
    copies = Snapshot.of(caches).caches()
    for cache in copies:
        cache.trim(num_tokens)
    return copies


def _state(cache: Any) -> Any:
    """A cache's state, without the room that a KVCache keeps for growth."""
    from pensieve.device.mlx_lm.caches import KVCache  # noqa: PLC0415 - half a second

    if cache is None:
        return None
    if type(cache) is KVCache and cache.keys is not None:
        return (*cache.keys_and_values(), cache.offset)
    is_restorable = isinstance(cache, RowKV) or hasattr(cache, "from_state")
    return cache.state if is_restorable else tuple(vars(cache).items())


def _restored(kind: Any, state: Any) -> Any:
    """A cache in this state. A class of a model's own may lack `from_state`: then its attributes are restored."""
    if kind is type(None):
        return None
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
    arrays: list[mx.array] = []
    _mapped(value, arrays.append)
    return arrays


def _packed(value: Any) -> Any:
    """The state as JSON, with a placeholder for each array, in the order of `_arrays`. Keeps lists and tuples apart."""
    if isinstance(value, mx.array):
        return {"array": True}
    if isinstance(value, (list, tuple)):
        return {"tuple" if isinstance(value, tuple) else "list": [_packed(each) for each in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"a cache's state holds a {type(value).__name__}, which cannot be stored")


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


def _restorable_classes(own: Collection[type]) -> dict[str, type]:
    """By name. Only a class that the loaded model makes by itself is taken from elsewhere than mlx-lm's caches."""
    from pensieve.device.mlx_lm.caches import restorable_classes  # noqa: PLC0415 - half a second

    return {**{kind.__name__: kind for kind in (type(None), *own)}, **restorable_classes()}
