"""Compares prefill by chunks with mlx-lm's own, for models with the gated delta rule.

    python -m perf_gates.hybrid_prefill [--shape qwen3.5-9b] [--tokens 512] [--pairs 5]

Prints the time to the first token, alternated between both, and the time of the rule alone in one layer. The weights
are random and made on the device. On a Mac it compares with mlx-lm's Metal kernel, which has not been done yet.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from pensieve.device import blas

blas.preload()  # before anything imports MLX

# ruff: noqa: E402
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm

import_mlx_lm()  # before anything else imports it

import mlx.core as mx
from mlx_lm.generate import generate_step
from mlx_lm.models import qwen3_5
from mlx_lm.models.gated_delta import gated_delta_update

from pensieve.device.device import device_info
from pensieve.models.loading.gated_delta.install import run_by_chunks
from pensieve.models.loading.gated_delta.layer import METHODS
from pensieve.models.loading.gated_delta.rule import DeltaInputs, chunked_gated_delta
from perf_gates.loads.random_model import QWEN3_5_9B

SHAPES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "qwen3.5-9b": QWEN3_5_9B,
        "tiny": {
            "hidden_size": 256,
            "intermediate_size": 512,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "vocab_size": 512,
            "linear_num_key_heads": 4,
            "linear_num_value_heads": 8,
            "linear_key_head_dim": 64,
            "linear_value_head_dim": 64,
        },
    }
)
_RULE_LENGTHS: Final = (4, 8, 16, 32, 64, 512)


def pair_of(shape: str, dtype: mx.Dtype) -> tuple[Any, Any]:
    """mlx-lm's model with random weights, and the same weights run by chunks."""
    stock, ours = _build(shape), _build(shape)
    stock.set_dtype(dtype)
    mx.eval(stock.parameters())
    ours.update(stock.parameters())
    run_by_chunks(ours, device_info().backend)
    return stock, ours


def _build(shape: str) -> Any:
    text_config = {"model_type": "qwen3_5", **SHAPES[shape]}
    return qwen3_5.Model(qwen3_5.ModelArgs(model_type="qwen3_5", text_config=text_config))


def first_token_seconds(model: Any, num_tokens: int, *, seed: int = 0) -> float:
    """By mlx-lm's own loop, for a random prompt."""
    tokens = mx.random.randint(0, 500, (num_tokens,), key=mx.random.key(seed))
    mx.eval(tokens)
    began = time.perf_counter()
    next(iter(generate_step(tokens, model, max_tokens=1)))
    return time.perf_counter() - began


def alternated(stock: Any, ours: Any, num_tokens: int, pairs: int) -> list[tuple[float, float]]:
    """Seconds of mlx-lm's and of ours in turn, after one pair to warm up."""
    found = []
    for number in range(pairs + 1):
        models = (stock, ours) if number % 2 == 0 else (ours, stock)
        seconds = {id(model): first_token_seconds(model, num_tokens, seed=number) for model in models}
        found.append((seconds[id(stock)], seconds[id(ours)]))
    return found[1:]


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    return statistics.median(ours / stock for stock, ours in pairs)


def rule_seconds(shape: str, num_tokens: int, dtype: mx.Dtype, repeats: int) -> tuple[float, float]:
    """The rule alone, for one layer of one row: mlx-lm's, then by chunks."""
    sizes = SHAPES[shape]
    key_heads, value_heads = sizes["linear_num_key_heads"], sizes["linear_num_value_heads"]
    key_size, value_size = sizes["linear_key_head_dim"], sizes["linear_value_head_dim"]
    q, k = (mx.random.normal((1, num_tokens, key_heads, key_size)).astype(dtype) / key_size for _ in range(2))
    v = mx.random.normal((1, num_tokens, value_heads, value_size)).astype(dtype)
    a, b = (mx.random.normal((1, num_tokens, value_heads)).astype(dtype) for _ in range(2))
    state, zeros = mx.zeros((1, value_heads, value_size, key_size)), mx.zeros((value_heads,))
    inputs = DeltaInputs(q, k, v, -mx.logaddexp(a.astype(mx.float32), 0), mx.sigmoid(b))
    mx.eval(q, k, v, a, b, state, zeros, inputs.log_decay, inputs.beta)
    length = METHODS[device_info().backend].chunk_tokens
    return (
        _median_seconds(lambda: gated_delta_update(q, k, v, a, b, zeros, zeros, state), repeats),
        _median_seconds(lambda: chunked_gated_delta(inputs, state, chunk_tokens=length), repeats),
    )


def _median_seconds(compute: Callable[[], Any], repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        mx.eval(compute())
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m perf_gates.hybrid_prefill", description=__doc__)
    parser.add_argument("--shape", choices=SHAPES, default="qwen3.5-9b")
    parser.add_argument("--tokens", type=int, default=512, help="the length of the prompt")
    parser.add_argument("--pairs", type=int, default=5, help="how often both are timed")
    options = parser.parse_args(arguments)
    dtype = mx.float32 if mx.default_device() == mx.Device(mx.cpu) else mx.bfloat16
    print(f"{mx.device_info().get('device_name', 'CPU')}, {options.shape}, {dtype}\n")
    print("| tokens | the rule in mlx-lm | by chunks | ratio |\n|---|---|---|---|")
    for length in _RULE_LENGTHS:
        stock, ours = rule_seconds(options.shape, length, dtype, repeats=5)
        print(f"| {length} | {1000 * stock:.2f} ms | {1000 * ours:.2f} ms | {ours / stock:.2f} |", flush=True)
    pairs = alternated(*pair_of(options.shape, dtype), options.tokens, options.pairs)
    stock, ours = (1000 * statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"\nFirst token of {options.tokens} tokens: mlx-lm {stock:.0f} ms, by chunks {ours:.0f} ms.")
    print(f"Median ratio of {options.pairs} pairs: {median_ratio(pairs):.3f}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
