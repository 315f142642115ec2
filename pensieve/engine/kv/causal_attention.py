"""Attention of several tokens to all before them, in plain operations: for CUDA.

There `mx.fast.scaled_dot_product_attention` makes a plan of cuDNN's for every length of queries and keys that it meets,
which takes 70 ms (an H200, mlx 0.32.4): each chunk of each prompt, and each draft that is checked, would wait for one.
These operations need none. With 512 tokens behind 4,096 they took as long as cuDNN with a mask (0.55 ms a layer).
"""

from __future__ import annotations

import mlx.core as mx


def causal_attention(queries: mx.array, keys: mx.array, values: mx.array, scale: float) -> mx.array:
    """Attention [1, query heads, tokens, size] of the last tokens.

    queries: [1, query heads, tokens, size]; keys and values: [1, heads, all tokens, size], of which the last ones are
    the queries' own. Query heads that share a head's keys are multiplied with it at once.
    """
    num_rows, num_heads, num_tokens, size = queries.shape
    num_shared, num_known = keys.shape[1], keys.shape[2]
    shape = (num_rows, num_shared, num_heads // num_shared, num_tokens)
    grouped = (queries * scale).reshape(num_rows, num_shared, -1, size)
    scores = (grouped @ keys.swapaxes(-1, -2)).reshape(*shape, num_known)
    positions = mx.arange(num_known - num_tokens, num_known)
    scores = mx.where(mx.arange(num_known) <= positions[:, None], scores, mx.finfo(scores.dtype).min)
    weights = mx.softmax(scores, axis=-1, precise=True).reshape(num_rows, num_shared, -1, num_known)
    return (weights @ values).reshape(num_rows, num_heads, num_tokens, -1)
