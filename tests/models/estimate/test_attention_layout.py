"""The estimated size of a conversation agrees with the caches of mlx-lm's own models."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from pensieve.core.fit.kv_bytes import kv_bytes
from pensieve.models.estimate import attention_layout
from pensieve.models.estimate.attention_layout import UnknownLayersError, attention_layers, kv_shape
from tests.support.mlx_lm_classes import classes_of

_SIZES: dict[str, Any] = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "rms_norm_eps": 1e-5,
    "vocab_size": 99,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
}
_LATENT = {"kv_lora_rank": 24, "q_lora_rank": 20, "qk_rope_head_dim": 8, "qk_nope_head_dim": 12, "v_head_dim": 16}
_EXPERTS = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "n_shared_experts": 1}
_QWEN_EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "shared_expert_intermediate_size": 32,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "norm_topk_prob": True,
    "tie_word_embeddings": False,
}
_LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 8,
    "linear_conv_kernel_dim": 4,
    "partial_rotary_factor": 0.5,
    "full_attention_interval": 2,
}
_ROPE = {
    "rope_theta": 1e4,
    "type": "default",
    "llama_4_scaling_beta": 0.1,
    "original_max_position_embeddings": 512,
}
_YARN = {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256, "mscale_all_dim": 0}
_LONG = {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [1.0] * 4}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
_WINDOW = {"sliding_window": 16}
CONFIGS: list[dict[str, Any]] = [
    {"model_type": "llama"},
    {"model_type": "llama", "head_dim": None, "num_key_value_heads": None},
    {"model_type": "llama", "layer_types": _MIXED, **_WINDOW},
    {"model_type": "mistral", **_WINDOW},
    {"model_type": "qwen2", "tie_word_embeddings": True, "layer_types": _MIXED, **_WINDOW},
    {"model_type": "qwen3", "tie_word_embeddings": True, "rope_theta": 1e6},
    {"model_type": "qwen3_moe", **_QWEN_EXPERTS},
    {"model_type": "phi3", "head_dim": None},
    {"model_type": "gemma"},
    {"model_type": "gemma2", "layer_types": _MIXED, **_WINDOW},
    {"model_type": "gemma3_text", "sliding_window_pattern": 3, **_WINDOW},
    {
        "model_type": "gemma3",
        "text_config": {**_SIZES, "model_type": "gemma3_text", "sliding_window_pattern": 3, **_WINDOW},
    },
    {
        "model_type": "gemma4_text",
        "num_kv_shared_layers": 2,
        "global_head_dim": 64,
        "hidden_size_per_layer_input": 8,
        "vocab_size_per_layer_input": 99,
        "layer_types": _MIXED,
        **_WINDOW,
    },
    {"model_type": "ministral3", "rope_parameters": _ROPE, "layer_types": _MIXED} | _WINDOW,
    {"model_type": "gpt_oss", "num_local_experts": 4, "num_experts_per_tok": 2, **_WINDOW},
    {"model_type": "cohere2", "head_dim": 16, "sliding_window_pattern": 2, **_WINDOW},
    {"model_type": "olmo3", **_WINDOW},
    {"model_type": "deepseek_v2", **_LATENT, **_EXPERTS, "first_k_dense_replace": 1, "topk_method": "greedy"}
    | {"rope_scaling": _YARN},
    {"model_type": "deepseek_v3", **_LATENT, **_EXPERTS, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1},
    {"model_type": "minicpm3", **_LATENT, "dim_model_base": 64, "scale_depth": 1.0, "scale_emb": 1, "v_head_dim": None}
    | {"rope_scaling": _LONG},
    {"model_type": "qwen3_next", **_QWEN_EXPERTS, **_LINEAR},
    {"model_type": "qwen3_5", "text_config": {**_SIZES, "model_type": "qwen3_5_text", **_LINEAR}},
    {"model_type": "mamba", "state_size": 16, "conv_kernel": 4, "time_step_rank": 4, "use_bias": False}
    | {"use_conv_bias": True},
    {"model_type": "lfm2", "norm_eps": 1e-5, "conv_bias": False, "conv_L_cache": 3, "block_dim": 64}
    | {"block_multiple_of": 8, "block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": False}
    | {"full_attn_idxs": [1, 3], "head_dim": None},
]


def _config(special: dict[str, Any]) -> dict[str, Any]:
    """The common sizes with `special` on top; a None removes a size."""
    if "text_config" in special:
        return {**special, "vocab_size": 99}
    return {key: value for key, value in {**_SIZES, **special}.items() if value is not None}


def _run(config: dict[str, Any]) -> list[Any]:
    """The caches of a model with random weights after three tokens."""
    model_class, args_class = classes_of(config["model_type"])
    make_prompt_cache = importlib.import_module("mlx_lm.models.cache").make_prompt_cache
    mx.random.seed(0)
    model = model_class(args_class.from_dict(config))
    caches = list(make_prompt_cache(model))
    mx.eval(model(mx.array([[1, 2, 3]]), cache=caches))
    return caches


def _cached_bytes(caches: Iterable[Any], num_tokens: int) -> int:
    """The size of mlx-lm's caches for `num_tokens`, extrapolated from three tokens."""
    total = 0
    for cache in caches:
        keys = getattr(cache, "keys", None)
        if keys is None:  # recurrent
            total += int(cache.nbytes)
        else:
            window = getattr(cache, "max_size", None) or num_tokens
            total += int(keys.nbytes + cache.values.nbytes) // int(keys.shape[2]) * min(num_tokens, window)
    return total


@pytest.mark.parametrize("special", CONFIGS, ids=lambda special: special["model_type"])
def test_a_conversation_takes_the_estimated_bytes(special: dict[str, Any]) -> None:
    config = _config(special)
    shape = kv_shape(config, 4)
    caches = _run(config)
    for num_tokens in (1, 10, 16, 17, 1000):
        assert kv_bytes(shape, num_tokens) == _cached_bytes(caches, num_tokens), num_tokens
    assert attention_layers(config) or shape.state_bytes


def test_every_model_of_mlx_lm_with_its_own_cache_is_supported_or_refused() -> None:
    folder = Path(importlib.import_module("mlx_lm").__path__[0]) / "models"
    special = {path.stem for path in folder.glob("*.py") if "def make_cache" in path.read_text(encoding="utf-8")}
    latent = {path.stem for path in folder.glob("*.py") if "kv_lora_rank" in path.read_text(encoding="utf-8")}
    assert special | latent <= attention_layout.NAMED | {"lfm2-vl"}


def test_an_unsupported_architecture_is_named() -> None:
    with pytest.raises(UnknownLayersError, match="rwkv7"):
        kv_shape({"model_type": "rwkv7"}, 2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"num_hidden_layers": None}, "has no 'num_hidden_layers'"),
        ({"num_attention_heads": 0, "head_dim": None}, "has an invalid value"),
        ({"num_hidden_layers": "many"}, "has an invalid value"),
    ],
)
def test_a_damaged_config_gives_an_error_instead_of_an_estimate(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnknownLayersError, match=re.escape(reason)):
        kv_shape(_config({"model_type": "llama", **change}), 2)


def test_deepseek_v3_caches_only_the_latent() -> None:
    published = {"num_hidden_layers": 61, "num_attention_heads": 128, "kv_lora_rank": 512, "qk_rope_head_dim": 64}
    shape = kv_shape({"model_type": "deepseek_v3", "hidden_size": 7168, **published}, 2)
    assert shape.bytes_per_token() == 61 * (512 + 64) * 2
