"""The bytes that a model's keys and values take, measured on its own caches (S7, S8).

A config is not enough: layers may share a cache, use latent attention or a window, or have no cache at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pensieve.device.device import device_info
from pensieve.engine.kv.ragged_attention import MAX_NEWEST
from pensieve.engine.kv.rows.forms import are_rows, leaves
from pensieve.engine.kv.rows.row import RowKV, room_for
from pensieve.engine.kv.rows.window_row import max_room

_COPIES: Final = 2
"""mlx-lm's batch caches exist twice while a row joins or leaves."""
_GATHERED_LAYERS: Final = 2
"""Gathered rows are in padded arrays too, for one layer, while the next may begin."""


@dataclass(frozen=True, slots=True)
class LayerKV:
    """One layer's cache: bytes per token, the most tokens it keeps (None: all), and bytes whatever its length.

    `in_row`: each request has its own memory (`pensieve.engine.kv.rows`), else it is padded to the longest.
    `is_gathered`: the rows of a batch are also padded while the layer attends to them.
    """

    bytes_per_token: int = 0
    max_tokens: int | None = None
    constant_bytes: int = 0
    in_row: bool = False
    is_gathered: bool = False

    def bytes_for(self, num_tokens: int) -> int:
        cached = num_tokens if self.max_tokens is None else min(num_tokens, self.max_tokens)
        return self.constant_bytes + cached * self.bytes_per_token


@dataclass(frozen=True, slots=True)
class KVSizes:
    """The caches of one model. `in_rows`: all of them are rows."""

    layers: tuple[LayerKV, ...]
    in_rows: bool

    @property
    def bytes_per_token(self) -> int:
        """Bytes per token of the layers that keep every token."""
        return sum(layer.bytes_per_token for layer in self.layers if layer.max_tokens is None)

    @property
    def has_padded_layers(self) -> bool:
        """Whether layers keep tokens, but not in rows."""
        return any(layer.bytes_per_token and not layer.in_row for layer in self.layers)

    def beside(self, other: KVSizes) -> KVSizes:
        """The sizes for requests whose tokens are in both models' caches."""
        return KVSizes(self.layers + other.layers, self.in_rows and other.in_rows)

    def alone(self, num_tokens: int) -> int:
        """The bytes of a single request of `num_tokens`, including the room that its caches keep for growth."""
        return sum(layer.bytes_for(room_for(num_tokens)) for layer in self.layers)

    def snapshot(self, num_tokens: int) -> int:
        """The bytes of what cannot be cut after these tokens: windows, and states of a constant size."""
        cut = (layer for layer in self.layers if layer.max_tokens is not None or not layer.bytes_per_token)
        return sum(layer.bytes_for(num_tokens) for layer in cut)

    def joining(self, num_tokens: int, others_tokens: Sequence[int], others_bytes: int) -> int:
        """The bytes to reserve for a request that joins others, for which `others_bytes` are reserved.

        A row takes what it takes alone. mlx-lm's batch caches, and what is gathered, are padded to the longest request.
        """
        all_tokens = [num_tokens, *others_tokens]
        gathered = self._gathered_bytes(max(all_tokens)) if others_tokens else 0
        if self.in_rows and not gathered:
            return self.alone(num_tokens)
        in_rows = sum(self._bytes_of(each, in_row=True) for each in all_tokens)
        padded = _COPIES * self._bytes_of(max(all_tokens), in_row=False) + gathered
        return max(self.alone(num_tokens), in_rows + len(all_tokens) * padded - others_bytes)

    def _gathered_bytes(self, num_tokens: int) -> int:
        layers = (layer.bytes_for(room_for(num_tokens)) for layer in self.layers if layer.is_gathered)
        return _GATHERED_LAYERS * max(layers, default=0)

    def _bytes_of(self, num_tokens: int, *, in_row: bool) -> int:
        return sum(layer.bytes_for(room_for(num_tokens)) for layer in self.layers if layer.in_row == in_row)

    def max_tokens(self, num_bytes: int) -> int:
        """The longest single request that fits `num_bytes`. Searched, since `alone` grows in steps."""
        low, high = 0, 1 << 32
        while low < high:
            middle = (low + high + 1) // 2
            if self.joining(middle, (), 0) <= num_bytes:
                low = middle
            else:
                high = middle - 1
        return low


def measured_sizes(caches: Sequence[Any], *, chunk_tokens: int = 0) -> KVSizes:
    """Measure a model's non-empty caches, one for each layer.

    A window also holds the chunk that is being prefilled, up to `chunk_tokens`.
    """
    return KVSizes(tuple(_layer(cache, chunk_tokens) for cache in leaves(caches)), are_rows(caches))


def _layer(cache: Any, chunk_tokens: int) -> LayerKV:
    """Attention caches hold [batch, heads, tokens, size], with room for growth. Recurrent caches do not grow."""
    if isinstance(cache, RowKV):
        most = max_room(cache.window, chunk_tokens) if cache.window is not None else None
        per_token = cache.nbytes // cache.room
        may_be_apart = cache.form == "attending" and cache.bits is None and device_info().backend != "cpu"
        newest_bytes = MAX_NEWEST * per_token if may_be_apart else 0
        return LayerKV(per_token, most, newest_bytes, in_row=True, is_gathered=cache.form == "gathered")
    keys = getattr(cache, "keys", None)
    if keys is None or isinstance(keys, (tuple, list)):
        return LayerKV(constant_bytes=int(getattr(cache, "nbytes", 0)))
    per_token = int(keys.nbytes + cache.values.nbytes) // int(keys.shape[2])
    window = getattr(cache, "max_size", None) or getattr(cache, "chunk_size", None)
    return LayerKV(per_token, int(window) + chunk_tokens if window else None)
