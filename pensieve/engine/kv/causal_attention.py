"""Causal attention in plain operations, for CUDA and for CPUs on which powers are faster than exponentials.

On CUDA, `mx.fast.scaled_dot_product_attention` builds a cuDNN plan for every new length of queries and keys, which
takes 70 ms (H200, mlx 0.32.4): each prefill chunk and each verified draft would wait for one. Plain operations need no
plan. With 512 tokens after 4,096 they took as long as cuDNN with a mask (0.55 ms a layer).

On CPUs, the exponentials of its softmax take most of its time (`pensieve.device.exponentials`): 128 tokens after 384
took 9.3 ms a layer, and 4.8 by powers of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import mlx.core as mx

from pensieve.device.device import device_info
from pensieve.device.exponentials import LOG2_E, power_of_two, powers_are_faster, weighted_sums

MIN_SCORES: Final = 4096
"""For fewer, starting more operations takes longer than the exponentials."""


class Scoring(NamedTuple):
    """How scores are made: `scale` times queries times keys, never above `cap`, beside `sinks` [query heads], which
    take a share without having values.
    """

    scale: float
    sinks: mx.array | None = None
    cap: float | None = None

    @property
    def is_plain(self) -> bool:
        return self.sinks is None and self.cap is None


def attends_faster(shape: Sequence[int], num_keys: int) -> bool:
    """Whether `causal_attention` is faster than MLX's own for a row of queries [..., heads, tokens, size]."""
    *_, num_heads, num_tokens, _ = shape
    if device_info().backend == "cuda":
        return num_tokens > 1
    return num_heads * num_tokens * num_keys >= MIN_SCORES and powers_are_faster()


def causal_attention(
    queries: mx.array,
    keys_and_values: tuple[mx.array, mx.array],
    scoring: Scoring,
    mask: mx.array | None = None,
) -> mx.array:
    """Attention [1, query heads, tokens, size] of the last tokens to themselves and all tokens before them.

    queries: [1, query heads, tokens, size]; keys and values: [1, heads, all tokens, size], the last for the queries;
    mask: bool [tokens, all tokens], if they attend to fewer. Query heads that share keys are multiplied with them at
    once.
    """
    (keys, values), (scale, sinks, cap) = keys_and_values, scoring
    num_rows, num_heads, num_tokens, size = queries.shape
    num_shared, num_keys = keys.shape[1], int(keys.shape[2])
    by_powers = powers_are_faster()
    unit = LOG2_E if by_powers else 1.0
    grouped = (queries * (scale * unit if cap is None else scale)).reshape(num_rows, num_shared, -1, size)
    scores = grouped @ keys.swapaxes(-1, -2)
    if cap is not None:
        scores = capped(scores, cap) * unit
    if num_tokens > 1:
        seen = mask if mask is not None else window_mask(num_tokens, num_keys, num_keys)
        by_token = scores.reshape(num_rows, num_shared, -1, num_tokens, num_keys)
        scores = mx.where(seen, by_token, mx.finfo(scores.dtype).min).reshape(scores.shape)
    if sinks is not None:
        sums = sums_beside_sinks(scores, values, _by_query(sinks, num_shared, num_tokens), by_powers=by_powers)
    else:
        sums = weighted_sums(scores, values) if by_powers else mx.softmax(scores, axis=-1, precise=True) @ values
    return sums.reshape(num_rows, num_heads, num_tokens, -1)


def capped(scores: mx.array, cap: float) -> mx.array:
    """Scores that approach the cap, and never exceed it."""
    return mx.tanh(scores / cap) * cap


def window_mask(num_tokens: int, num_keys: int, window: int) -> mx.array:
    """Bool [tokens, keys]: what each of the last tokens attends to, of at most `window` tokens, itself included."""
    positions = mx.arange(num_keys - num_tokens, num_keys)[:, None]
    keys = mx.arange(num_keys)
    is_before = keys <= positions
    return is_before & (keys > positions - window) if window < num_keys else is_before


def sums_beside_sinks(scores: mx.array, values: mx.array, sinks: mx.array, *, by_powers: bool = False) -> mx.array:
    """`mx.softmax(scores) @ values`, where a sink, a score of no key, takes a share: sinks [heads, queries, 1].

    With `by_powers`, the scores are to powers of two.
    """
    power = power_of_two if by_powers else mx.exp
    scores, sinks = scores.astype(mx.float32), sinks.astype(mx.float32) * (LOG2_E if by_powers else 1.0)
    largest = mx.maximum(mx.max(scores, axis=-1, keepdims=True), sinks)
    weights = power(scores - largest)
    shares = weights / (mx.sum(weights, axis=-1, keepdims=True) + power(sinks - largest))
    return shares.astype(values.dtype) @ values


def _by_query(sinks: mx.array, num_shared: int, num_tokens: int) -> mx.array:
    """[query heads] as [heads, heads that share x tokens, 1]."""
    return mx.repeat(sinks.reshape(num_shared, -1, 1), num_tokens, axis=1)
