"""How many bytes a conversation's keys and values take, and how long one may be under a limit (S7, S8, U3).

Bytes of a layer grow with the tokens it has read, up to its window where it has one. Latent attention keeps one narrow
row for all heads; recurrent layers keep a state that does not grow; layers that share another's keys keep nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

KV_GROUP: Final = 64
"""Numbers that share a scale and a bias in 8-bit keys and values."""
KV_STEP_TOKENS: Final = 256
"""mlx-lm's caches grow by so many tokens at a time."""

KVBits = Literal[8] | None
"""None is the model's own type."""


@dataclass(frozen=True, slots=True)
class KVLayers:
    """Layers that are alike. Each keeps, for each token, `num_heads` rows of each of `row_sizes` numbers.

    The rows are keys and values. Of the oldest tokens nothing is kept where there are more than `window_tokens`.
    """

    num_layers: int
    num_heads: int
    row_sizes: tuple[int, ...]
    window_tokens: int | None = None

    @property
    def can_be_quantised(self) -> bool:
        """Rows are cut into groups; what is overwritten in place (a window) is not quantised by mlx-lm."""
        return self.window_tokens is None and all(size % KV_GROUP == 0 for size in self.row_sizes)

    def bytes_per_token(self, number_bytes: int, bits: KVBits = None) -> int:
        """Of all these layers, for a token that they keep; in `bits` where that can be."""
        numbers = self.num_layers * self.num_heads * sum(self.row_sizes)
        if bits is None or not self.can_be_quantised:
            return numbers * number_bytes
        return numbers * bits // 8 + 2 * (numbers // KV_GROUP) * number_bytes


@dataclass(frozen=True, slots=True)
class KVShape:
    """What a model keeps of a conversation. `number_bytes` is the size of one number of its own type."""

    layers: tuple[KVLayers, ...]
    number_bytes: int
    state_bytes: int = 0
    """Of recurrent layers: the same for a conversation of any length."""

    @property
    def can_be_quantised(self) -> bool:
        return any(layers.can_be_quantised for layers in self.layers)

    def bytes_per_token(self, bits: KVBits = None) -> int:
        """While no window is full yet."""
        return sum(layers.bytes_per_token(self.number_bytes, bits) for layers in self.layers)


def kv_bytes(shape: KVShape, num_tokens: int, *, bits: KVBits = None, step_tokens: int = 1) -> int:
    """Bytes of a conversation of `num_tokens`; with `step_tokens`, of caches that grow by so many at a time.

    While a chunk of a prompt is read, a windowed layer holds that chunk beside its window: count it as activations.
    """
    if num_tokens <= 0:
        return 0
    grown = -(-num_tokens // step_tokens) * step_tokens
    return shape.state_bytes + sum(
        layers.bytes_per_token(shape.number_bytes, bits) * min(grown, layers.window_tokens or grown)
        for layers in shape.layers
    )


def longest_context(available_bytes: int, shape: KVShape, window_tokens: int, *, bits: KVBits = None) -> int:
    """Tokens of the longest conversation that fits, at most the model's window; 0 where none does.

    `available_bytes` is what the limit leaves beside weights, activations and the reserve.
    """
    low, high = 0, window_tokens
    while low < high:  # bytes never fall as tokens rise
        middle = (low + high + 1) // 2
        if kv_bytes(shape, middle, bits=bits) <= available_bytes:
            low = middle
        else:
            high = middle - 1
    return low


def conversations_at_once(available_bytes: int, shape: KVShape, num_tokens: int, *, bits: KVBits = None) -> int | None:
    """How many conversations of `num_tokens` fit into `available_bytes`; None where they take nothing."""
    each = kv_bytes(shape, num_tokens, bits=bits)
    return max(0, available_bytes) // each if each else None
