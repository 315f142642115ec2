"""The bytes of a conversation's KV cache, and the longest conversation that fits a limit (S7, S8, U3).

The KV of a layer grows with the tokens, up to its sliding window if it has one. Latent attention keeps one narrow row
for all heads, recurrent layers keep a state of constant size, and layers that share another's keys keep nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

KV_GROUP: Final = 64
"""The group size of 8-bit keys and values: numbers that share a scale and a bias."""
KV_STEP_TOKENS: Final = 256
"""The number of tokens by which mlx-lm's caches grow."""

KVBits = Literal[8] | None
"""None keeps the model's own type."""


@dataclass(frozen=True, slots=True)
class KVLayers:
    """Layers of the same shape. For each token, each layer keeps `num_heads` rows of each of `row_sizes` numbers.

    The rows are keys and values. With `window_tokens`, only the most recent tokens are kept.
    """

    num_layers: int
    num_heads: int
    row_sizes: tuple[int, ...]
    window_tokens: int | None = None

    @property
    def can_be_quantised(self) -> bool:
        """Whether rows divide into groups, and mlx-lm can quantise them: it cannot quantise a sliding window."""
        return self.window_tokens is None and all(size % KV_GROUP == 0 for size in self.row_sizes)

    def bytes_per_token(self, number_bytes: int, bits: KVBits = None) -> int:
        """Bytes of one token in all these layers, at `bits` if they can be quantised."""
        numbers = self.num_layers * self.num_heads * sum(self.row_sizes)
        if bits is None or not self.can_be_quantised:
            return numbers * number_bytes
        return numbers * bits // 8 + 2 * (numbers // KV_GROUP) * number_bytes


@dataclass(frozen=True, slots=True)
class KVShape:
    """What a model keeps of a conversation. `number_bytes` is the size of a number in the model's own type."""

    layers: tuple[KVLayers, ...]
    number_bytes: int
    state_bytes: int = 0
    """The state of recurrent layers, which does not depend on the length of the conversation."""

    @property
    def can_be_quantised(self) -> bool:
        return any(layers.can_be_quantised for layers in self.layers)

    def bytes_per_token(self, bits: KVBits = None) -> int:
        """Bytes of one more token while no sliding window is full."""
        return sum(layers.bytes_per_token(self.number_bytes, bits) for layers in self.layers)


def kv_bytes(shape: KVShape, num_tokens: int, *, bits: KVBits = None, step_tokens: int = 1) -> int:
    """Bytes of a conversation of `num_tokens`, in caches that grow by `step_tokens` at a time.

    During prefill a sliding-window layer holds the current chunk besides its window: count that as activations.
    """
    if num_tokens <= 0:
        return 0
    grown = -(-num_tokens // step_tokens) * step_tokens
    return shape.state_bytes + sum(
        layers.bytes_per_token(shape.number_bytes, bits) * min(grown, layers.window_tokens or grown)
        for layers in shape.layers
    )


def longest_context(available_bytes: int, shape: KVShape, window_tokens: int, *, bits: KVBits = None) -> int:
    """Tokens of the longest conversation that fits, at most the model's window; 0 if none fits.

    `available_bytes` is what the limit leaves after weights, activations and the reserve.
    """
    low, high = 0, window_tokens
    while low < high:  # bytes never fall as tokens increase
        middle = (low + high + 1) // 2
        if kv_bytes(shape, middle, bits=bits) <= available_bytes:
            low = middle
        else:
            high = middle - 1
    return low


def conversations_at_once(available_bytes: int, shape: KVShape, num_tokens: int, *, bits: KVBits = None) -> int | None:
    """How many conversations of `num_tokens` fit into `available_bytes`; None if they take no memory."""
    each = kv_bytes(shape, num_tokens, bits=bits)
    return max(0, available_bytes) // each if each else None
