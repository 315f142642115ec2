"""Tiny random models for each kind of cache, built from mlx-lm's classes, and helpers to run prompts through them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Final

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map

from pensieve.core.dialects.dialect import Dialect
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.engine.kv.rows.forms import leaves, runnable
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.kv.snapshots import Snapshot
from pensieve.models.loading.load import LoadedModel

import_mlx_lm()  # before anything else imports it

# ruff: noqa: E402
from mlx_lm.generate import BatchGenerator
from mlx_lm.models.cache import make_prompt_cache

VOCABULARY: Final = 128
WINDOW: Final = 32
"""The window of models with rotating caches."""

_SHARED: Final = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "intermediate_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
}
_CONFIGS: Final[dict[str, dict[str, Any]]] = {
    "llama": {"tie_word_embeddings": False},
    "gemma3_text": {"sliding_window": WINDOW, "sliding_window_pattern": 2, "query_pre_attn_scalar": 8},
    "mamba2": {
        "num_heads": 4,
        "head_dim": 16,
        "state_size": 8,
        "layer_norm_epsilon": 1e-5,
        "conv_kernel": 4,
        "n_groups": 1,
        "use_bias": False,
        "use_conv_bias": True,
        "tie_word_embeddings": False,
        "time_step_limit": (0.0, 100.0),
        "time_step_rank": "auto",
    },
    "falcon_h1": {"mamba_d_head": 8, "mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_state": 8},
    "lfm2": {
        "norm_eps": 1e-5,
        "conv_bias": False,
        "conv_L_cache": 3,
        "block_dim": 32,
        "block_ff_dim": 64,
        "block_multiple_of": 8,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
        "full_attn_idxs": [1, 3],
    },
}
WHOLE_KINDS: Final = ("gemma3_text", "mamba2", "falcon_h1", "lfm2")
"""Rotating beside growing caches; recurrent ones; lists of a recurrent and a growing one; both kinds, by layer."""


def tiny_module(kind: str, *, dtype: mx.Dtype = mx.float32, seed: int = 0) -> LoadedModel:
    module = importlib.import_module(f"mlx_lm.models.{kind}")
    arguments = module.ModelArgs.from_dict({"model_type": kind, **_SHARED, **_CONFIGS[kind]})
    random = np.random.default_rng(seed)

    def random_or_ones(array: mx.array) -> mx.array:
        if array.ndim < 2:
            return mx.ones(array.shape, dtype)
        return mx.array(random.standard_normal(array.shape) / np.sqrt(array.shape[-1])).astype(dtype)

    model = module.Model(arguments)
    model.update(tree_map(random_or_ones, model.parameters()))
    mx.eval(model.parameters())
    return LoadedModel(
        model=model,
        tokenizer=None,
        config={},
        context_window_tokens=8192,
        vocabulary_size=VOCABULARY,
        eos_token_ids=frozenset(),
        weights_bytes=0,
        features=frozenset(),
        dialect=Dialect(),
    )


def prompt(num_tokens: int, seed: int = 0) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(0, VOCABULARY, num_tokens)]


def new_caches(model: LoadedModel) -> list[Any]:
    caches: list[Any] = make_prompt_cache(model.model)
    return caches


def prefill(model: LoadedModel, token_ids: Sequence[int], caches: list[Any] | None = None) -> list[Any]:
    """Add the prompt to caches, new ones by default."""
    caches = caches if caches is not None else new_caches(model)
    for start in range(0, len(token_ids), 256):
        model.model(mx.array([token_ids[start : start + 256]]), cache=runnable(caches))
        mx.eval([cache.state for cache in caches])
    return caches


def random_rows(num_tokens: int, *, num_layers: int = 4, size: int = 8) -> list[RowKV]:
    """Rows of a tiny llama with random contents, for tests of size rather than content."""
    rows = []
    for _ in range(num_layers):
        row = RowKV()
        row.append(*(mx.random.normal((1, 2, num_tokens, size)) for _ in range(2)))
        mx.eval(row.arrays)
        rows.append(row)
    return rows


def continuation(model: LoadedModel, caches: list[Any], last: int, num_tokens: int = 24) -> list[int]:
    """The greedy tokens after `last`. The caches advance with them."""
    token_ids = []
    for _ in range(num_tokens):
        last = int(mx.argmax(model.model(mx.array([[last]]), cache=runnable(caches))[0, -1]))
        token_ids.append(last)
    return token_ids


def generated(model: LoadedModel, token_ids: list[int], caches: list[Any] | None, num_cached: int) -> list[int]:
    """The greedy tokens of mlx-lm's BatchGenerator."""
    generator = BatchGenerator(model.model, stream=mx.default_stream(mx.default_device()))
    generator.insert(
        [token_ids[num_cached:]],
        max_tokens=[24],
        caches=[caches] if caches is not None else None,
        all_tokens=[token_ids[:num_cached]],
    )
    found = []
    for _ in range(1000):
        responses = generator.next()[1]
        found += [int(response.token) for response in responses]
        if any(response.finish_reason for response in responses):
            break
    return found


def arrays_of(caches: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    """Copies of everything that caches hold, as float32."""
    flat: list[np.ndarray[Any, Any]] = []

    def visit(value: Any) -> None:
        if isinstance(value, mx.array):
            flat.append(np.array(value.astype(mx.float32)))
        elif isinstance(value, (list, tuple)):
            for each in value:
                visit(each)

    visit(Snapshot.of(leaves(caches)).states)
    return flat


def assert_same(some: Sequence[Any], others: Sequence[Any]) -> None:
    pairs = zip(arrays_of(some), arrays_of(others), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def assert_close(some: Sequence[Any], others: Sequence[Any]) -> None:
    """For caches that were computed apart: the last bits may depend on where the BLAS found its operands in memory."""
    pairs = zip(arrays_of(some), arrays_of(others), strict=True)
    assert all(np.allclose(one, other, rtol=1e-4, atol=1e-5) for one, other in pairs)
