"""Scores between the tokens of a chunk, and the inverse of a triangular matrix, without overflow or cancellation.

Both go up a binary tree: at each level, pairs of neighbouring blocks of `size` tokens are combined.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import mlx.core as mx
import numpy as np


@dataclass(frozen=True, slots=True)
class Level:
    size: int
    pairs: mx.array
    """[C, C]: whether i is in the second block of a pair, and j in the first."""
    splits: mx.array
    """[C]: the last token of the first block of each token's pair."""
    ends: mx.array
    """[C]: the last token of each token's pair."""
    is_second: mx.array
    """[C, 1]: whether a token is in the second block of its pair."""


@dataclass(frozen=True, slots=True)
class Triangle:
    """What depends only on the length of a chunk. The arrays hold data from the start, so any thread may use them."""

    before: mx.array
    """[C, C]: j < i."""
    until: mx.array
    """[C, C]: j <= i."""
    same: mx.array
    """[C, C]: j = i."""
    levels: tuple[Level, ...]


@lru_cache(maxsize=128)
def triangle(length: int) -> Triangle:
    tokens = np.arange(length)
    rows, columns = tokens[:, None], tokens[None]
    sizes = [1 << exponent for exponent in range((length - 1).bit_length())]
    return Triangle(
        before=mx.array(columns < rows),
        until=mx.array(columns <= rows),
        same=mx.array(columns == rows),
        levels=tuple(
            Level(
                size,
                pairs=mx.array((rows // size == columns // size + 1) & (rows // size % 2 == 1)),
                splits=mx.array(np.minimum(tokens // (2 * size) * (2 * size) + size - 1, length - 1)),
                ends=mx.array(np.minimum(tokens // (2 * size) * (2 * size) + 2 * size - 1, length - 1)),
                is_second=mx.array(rows // size % 2 == 1),
            )
            for size in sizes
        ),
    )


def unit_lower_inverse(lower: mx.array) -> mx.array:
    """The inverse of I + `lower`, whose diagonal and upper triangle are zero.

    The inverse of two blocks follows from those of each: [[A, 0], [B, D]] has -D^-1 B A^-1 at its lower left. Nothing
    cancels in it. The shorter product (I - L)(I + L^2)(I + L^4)... has terms of 10^17 where one token is repeated.
    """
    constants = triangle(lower.shape[-1])
    inverse = mx.broadcast_to(constants.same.astype(mx.float32), lower.shape)
    for level in constants.levels:
        across = mx.where(level.pairs, lower, 0)
        inverse = inverse - (across if level.size == 1 else inverse @ across @ inverse)
    return inverse


def decayed_scores(rows: mx.array, keys: mx.array, log_decay: mx.array) -> mx.array:
    """The sum over d of rows_i k_j exp(g_j+1 + ... + g_i) for j <= i. Above the diagonal it is finite and of no use.

    Each token has two rows: `rows` is [..., 2C, D], and the result [..., 2C, C]. `log_decay` g is [..., C, 1], or
    [..., C, D] for a decay per channel, and never positive. No sum is the difference of two longer ones: where a decay
    is strong, that would lose what the weak ones after it say.
    """
    if log_decay.shape[-1] > 1:
        return _scores_by_channel(rows, keys, log_decay)
    sums = mx.cumsum(mx.where(triangle(keys.shape[-2]).before, log_decay, 0), axis=-2)
    return (rows @ keys.swapaxes(-1, -2)) * _twice(mx.exp(sums))


def _scores_by_channel(rows: mx.array, keys: mx.array, log_decay: mx.array) -> mx.array:
    """The sum from j + 1 to i is that to the end of j's block, and on from the beginning of i's, the next one."""
    constants = triangle(keys.shape[-2])
    own = (rows * _twice(keys)).sum(axis=-1, keepdims=True)
    scores = mx.where(_twice(constants.same), own, 0)
    from_begin, to_end = log_decay, mx.zeros_like(log_decay)
    for level in constants.levels:
        decay = mx.exp(mx.where(level.is_second, from_begin, to_end))
        products = (rows * _twice(decay)) @ (keys * decay).swapaxes(-1, -2)
        scores = mx.where(_twice(level.pairs), products, scores)
        first, second = (mx.take(from_begin, tokens, axis=-2) for tokens in (level.splits, level.ends))
        from_begin = mx.where(level.is_second, from_begin + first, from_begin)
        to_end = mx.where(level.is_second, to_end, to_end + second)
    return scores


def _twice(array: mx.array) -> mx.array:
    return mx.concatenate([array, array], axis=-2)
