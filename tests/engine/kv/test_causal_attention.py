"""Attention in plain operations equals that of MLX's own kernel."""

from __future__ import annotations

import mlx.core as mx
import pytest

from pensieve.engine.kv.causal_attention import causal_attention


@pytest.mark.parametrize(("num_heads", "num_shared"), [(4, 4), (8, 2)])
@pytest.mark.parametrize(("num_tokens", "num_keys"), [(2, 2), (5, 5), (3, 40), (16, 17)])
@pytest.mark.parametrize("dtype", [mx.float32, mx.float16])
def test_it_equals_the_kernels_attention(
    num_heads: int, num_shared: int, num_tokens: int, num_keys: int, dtype: mx.Dtype
) -> None:
    mx.random.seed(7)
    queries = mx.random.normal((1, num_heads, num_tokens, 32)).astype(dtype)
    keys, values = (mx.random.normal((1, num_shared, num_keys, 32)).astype(dtype) for _ in range(2))
    scale = 32**-0.5
    expected = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=scale, mask="causal")
    actual = causal_attention(queries, keys, values, scale)
    assert actual.dtype == dtype
    assert mx.allclose(actual, expected, atol=1e-5 if dtype == mx.float32 else 5e-3)
