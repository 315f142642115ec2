"""Causal attention in plain operations, for CUDA.

There, `mx.fast.scaled_dot_product_attention` builds a cuDNN plan for every new length of queries and keys, which takes
70 ms (H200, mlx 0.32.4): each prefill chunk and each verified draft would wait for one. Plain operations need no plan.
With 512 tokens after 4,096 they took as long as cuDNN with a mask (0.55 ms a layer).
"""

from __future__ import annotations

import mlx.core as mx


def causal_attention(queries: mx.array, keys: mx.array, values: mx.array, scale: float) -> mx.array:
    """Attention [1, query heads, tokens, size] of the last tokens to themselves and all tokens before them.

    queries: [1, query heads, tokens, size]; keys and values: [1, heads, all tokens, size], the last for the queries.
    Query heads that share keys are multiplied with them at once.
    """
    num_rows, num_heads, num_tokens, size = queries.shape
    num_shared, num_keys = keys.shape[1], keys.shape[2]
    shape = (num_rows, num_shared, num_heads // num_shared, num_tokens)
    grouped = (queries * scale).reshape(num_rows, num_shared, -1, size)
    scores = (grouped @ keys.swapaxes(-1, -2)).reshape(*shape, num_keys)
    positions = mx.arange(num_keys - num_tokens, num_keys)
    scores = mx.where(mx.arange(num_keys) <= positions[:, None], scores, mx.finfo(scores.dtype).min)
    weights = mx.softmax(scores, axis=-1, precise=True).reshape(num_rows, num_shared, -1, num_keys)
    return (weights @ values).reshape(num_rows, num_heads, num_tokens, -1)
