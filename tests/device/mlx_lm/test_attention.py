"""The one function of mlx-lm that is replaced is still where models look for it."""

from __future__ import annotations

import mlx.core as mx
import pytest

from pensieve.device.mlx_lm.attention import AttendingCache, quantized_attention
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm

import_mlx_lm()

from mlx_lm.models import base, llama, qwen3_next  # noqa: E402 - only after import_mlx_lm


class Marked(AttendingCache):
    def attend(self, queries: mx.array, scale: float, **_: object) -> mx.array:
        return queries * scale


@pytest.mark.parametrize("module", [base, llama, qwen3_next])
def test_models_let_a_cache_attend_by_itself(module: object) -> None:
    """If this fails, mlx-lm has changed `scaled_dot_product_attention` in models/base.py: find its new seam."""
    quantized_attention()
    cache, queries = Marked(), mx.ones((1, 2, 3, 4))
    attention = module.scaled_dot_product_attention  # type: ignore[attr-defined]
    output = attention(queries, cache, cache, cache=cache, scale=0.5, mask=None)
    assert mx.array_equal(output, queries * 0.5)


def test_quantized_attention_stays_as_it_was_for_mlx_lms_own_caches() -> None:
    keys, values = (mx.quantize(mx.random.normal((1, 2, 5, 64)), group_size=64, bits=8) for _ in range(2))
    queries = [mx.random.normal((1, 2, 1, 64), key=mx.random.key(1)) for _ in range(2)]  # both are scaled in place
    options = {"scale": 0.125, "mask": None, "group_size": 64, "bits": 8}
    expected = quantized_attention()(queries[0], keys, values, **options)
    assert mx.array_equal(base.quantized_scaled_dot_product_attention(queries[1], keys, values, **options), expected)
