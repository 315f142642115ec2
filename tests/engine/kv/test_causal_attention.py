"""Attention in plain operations equals that of MLX's own kernel."""

from __future__ import annotations

import mlx.core as mx
import pytest

from pensieve.engine.kv.causal_attention import Scoring, causal_attention, window_mask


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
    actual = causal_attention(queries, (keys, values), Scoring(scale))
    assert actual.dtype == dtype
    assert mx.allclose(actual, expected, atol=1e-5 if dtype == mx.float32 else 5e-3)


@pytest.mark.parametrize("by_powers", [True, False])
@pytest.mark.parametrize("num_tokens", [1, 5])
def test_sinks_and_windows_equal_those_of_the_kernel(
    monkeypatch: pytest.MonkeyPatch, num_tokens: int, *, by_powers: bool
) -> None:
    monkeypatch.setattr("pensieve.engine.kv.causal_attention.powers_are_faster", lambda: by_powers)
    mx.random.seed(7)
    queries, sinks = mx.random.normal((1, 8, num_tokens, 32)), 3 * mx.random.normal((8,))
    keys, values = (mx.random.normal((1, 2, 40, 32)) for _ in range(2))
    mask = window_mask(num_tokens, 40, 11)
    expected = mx.fast.scaled_dot_product_attention(queries, keys, values, scale=0.2, mask=mask, sinks=sinks)
    start = 40 - num_tokens - 10
    seen = keys[:, :, start:], values[:, :, start:]
    actual = causal_attention(queries, seen, Scoring(0.2, sinks), mask[:, start:])
    assert mx.allclose(actual, expected, atol=1e-5)
    assert not mx.allclose(actual, causal_attention(queries, seen, Scoring(0.2), mask[:, start:]), atol=1e-3)
