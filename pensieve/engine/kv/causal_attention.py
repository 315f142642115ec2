"""Causal attention in plain operations, for CUDA and for CPUs on which powers are faster than exponentials.

On CUDA, `mx.fast.scaled_dot_product_attention` builds a cuDNN plan for every new length of queries and keys, which
takes 70 ms (H200, mlx 0.32.4): each prefill chunk and each verified draft would wait for one. Plain operations need no
plan. With 512 tokens after 4,096 they took as long as cuDNN with a mask (0.55 ms a layer).

On CPUs, the exponentials of its softmax take most of its time (`pensieve.device.exponentials`): 128 tokens after 384
took 9.3 ms a layer, and 4.8 by powers of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import mlx.core as mx

from pensieve.device.device import device_info
from pensieve.device.exponentials import LOG2_E, powers_are_faster, weighted_sums

_MIN_SCORES: Final = 4096
"""For fewer, starting more operations takes longer than the exponentials."""


def attends_faster(shape: Sequence[int], num_keys: int) -> bool:
    """Whether `causal_attention` is faster than MLX's own for a row of queries [..., heads, tokens, size]."""
    *_, num_heads, num_tokens, _ = shape
    if device_info().backend == "cuda":
        return num_tokens > 1
    return num_heads * num_tokens * num_keys >= _MIN_SCORES and powers_are_faster()


def causal_attention(queries: mx.array, keys: mx.array, values: mx.array, scale: float) -> mx.array:
    """Attention [1, query heads, tokens, size] of the last tokens to themselves and all tokens before them.

    queries: [1, query heads, tokens, size]; keys and values: [1, heads, all tokens, size], the last for the queries.
    Query heads that share keys are multiplied with them at once.
    """
    num_rows, num_heads, num_tokens, size = queries.shape
    num_shared = keys.shape[1]
    by_powers = powers_are_faster()
    grouped = (queries * (scale * LOG2_E if by_powers else scale)).reshape(num_rows, num_shared, -1, size)
    scores = grouped @ keys.swapaxes(-1, -2)
    if num_tokens > 1:
        scores = _masked(scores, num_tokens)
    sums = weighted_sums(scores, values) if by_powers else mx.softmax(scores, axis=-1, precise=True) @ values
    return sums.reshape(num_rows, num_heads, num_tokens, -1)


def _masked(scores: mx.array, num_tokens: int) -> mx.array:
    """Scores [rows, heads, heads that share x tokens, keys] without those of later tokens."""
    num_rows, num_shared, _, num_keys = scores.shape
    positions = mx.arange(num_keys - num_tokens, num_keys)
    is_seen = mx.arange(num_keys) <= positions[:, None]
    by_token = scores.reshape(num_rows, num_shared, -1, num_tokens, num_keys)
    return mx.where(is_seen, by_token, mx.finfo(scores.dtype).min).reshape(scores.shape)
