"""Gemma 1, 2 and 3, whose norms multiply by the weight plus 1.

llama.cpp's converter adds the 1 to the stored weight and mlx-lm adds it at run time, so the conversion subtracts it.
"""

from __future__ import annotations

from typing import Final

from pensieve.models.gguf.architectures.family import (
    ArchitectureFamily,
    Config,
    DimensionName,
    Dimensions,
    TensorMapping,
    matrix,
    vector,
)
from pensieve.models.gguf.architectures.rope import require_full_rotary, require_unscaled, scaling_config
from pensieve.models.gguf.metadata import GgufMetadata

_LAYERS_OF_27B: Final = {"gemma2": 46, "gemma3": 62}
"""The largest model of each family scales queries by hidden size / heads in place of the head size. The metadata does
not record this; like llama.cpp, the conversion recognises the model by its number of layers.
"""
_GLOBAL_LAYER_INTERVAL: Final = 6


def _norm(name: str, module: str, size: DimensionName = "hidden") -> TensorMapping:
    return vector(name, module, size, offset=-1.0)


def _shared_config(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    require_full_rotary(metadata, dimensions)
    return {
        "head_dim": dimensions.head_dim,
        "rms_norm_eps": metadata.positive_float("attention.layer_norm_rms_epsilon"),
        "hidden_act": "gelu_pytorch_tanh",
    }


def _gemma_config(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    require_unscaled(metadata)
    return {**_shared_config(metadata, dimensions), "rope_theta": metadata.positive_float("rope.freq_base", 10000.0)}


def _query_scalar(family: str, dimensions: Dimensions) -> float:
    is_largest = dimensions.num_layers == _LAYERS_OF_27B[family]
    return dimensions.hidden_size / dimensions.num_heads if is_largest else float(dimensions.head_dim)


def _gemma2_config(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    return {
        **_gemma_config(metadata, dimensions),
        "query_pre_attn_scalar": _query_scalar("gemma2", dimensions),
        "attn_logit_softcapping": metadata.positive_float("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": metadata.positive_float("final_logit_softcapping", 30.0),
        # mlx-lm uses full attention in every layer: the results are equal up to this number of tokens.
        "sliding_window": metadata.integer("attention.sliding_window", 4096),
    }


def _gemma3_config(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    if metadata.integer("attention.sliding_window_pattern", _GLOBAL_LAYER_INTERVAL) != _GLOBAL_LAYER_INTERVAL:
        raise metadata.error("its pattern of sliding-window layers is not Gemma 3's and cannot be converted from GGUF")
    return {
        **_shared_config(metadata, dimensions),
        "query_pre_attn_scalar": _query_scalar("gemma3", dimensions),
        "sliding_window": metadata.integer("attention.sliding_window"),
        "sliding_window_pattern": _GLOBAL_LAYER_INTERVAL,
        "rope_theta": metadata.positive_float("rope.freq_base", 1_000_000.0),
        "rope_local_base_freq": metadata.positive_float("rope.freq_base_swa", 10000.0),
        **scaling_config(metadata, dimensions),
    }


_ATTENTION: Final = (
    _norm("attn_norm", "input_layernorm"),
    matrix("attn_q", "self_attn.q_proj", "queries", "hidden"),
    matrix("attn_k", "self_attn.k_proj", "keys", "hidden"),
    matrix("attn_v", "self_attn.v_proj", "keys", "hidden"),
    matrix("attn_output", "self_attn.o_proj", "hidden", "queries"),
)
_MLP: Final = (
    matrix("ffn_gate", "mlp.gate_proj", "intermediate", "hidden"),
    matrix("ffn_up", "mlp.up_proj", "intermediate", "hidden"),
    matrix("ffn_down", "mlp.down_proj", "hidden", "intermediate"),
)
_FOUR_NORMS: Final = (
    _norm("post_attention_norm", "post_attention_layernorm"),
    _norm("ffn_norm", "pre_feedforward_layernorm"),
    _norm("post_ffw_norm", "post_feedforward_layernorm"),
)
_TOP: Final = (_norm("output_norm", "model.norm"),)

GEMMA: Final = ArchitectureFamily(
    model_type="gemma",
    class_name="GemmaForCausalLM",
    top=_TOP,
    layer=(*_ATTENTION, _norm("ffn_norm", "post_attention_layernorm"), *_MLP),
    config=_gemma_config,
    output="tied",
)
GEMMA2: Final = ArchitectureFamily(
    model_type="gemma2",
    class_name="Gemma2ForCausalLM",
    top=_TOP,
    layer=(*_ATTENTION, *_FOUR_NORMS, *_MLP),
    config=_gemma2_config,
    output="tied",
)
GEMMA3: Final = ArchitectureFamily(
    model_type="gemma3_text",
    class_name="Gemma3ForCausalLM",
    top=_TOP,
    layer=(
        *_ATTENTION,
        _norm("attn_q_norm", "self_attn.q_norm", "head"),
        _norm("attn_k_norm", "self_attn.k_norm", "head"),
        *_FOUR_NORMS,
        *_MLP,
    ),
    config=_gemma3_config,
)
