"""Gemma 1, 2 and 3. Their norms multiply by one more than the weight: llama.cpp adds the one when it converts, mlx-lm
when it computes, so it is taken off.
"""

from __future__ import annotations

from typing import Final

from pensieve.models.gguf.architectures.family import Config, Dimensions, Family, Size, Tensor, matrix, vector
from pensieve.models.gguf.architectures.rope import require_unscaled, scaling_config, validate_headers
from pensieve.models.gguf.metadata import ModelMetadata

_LAYERS_OF_27B: Final = {"gemma2": 46, "gemma3": 62}
"""The largest of each family divides queries by the width of a head as if heads filled the model, and no key of the
file says so: llama.cpp tells it by its layers too.
"""
_EVERY_SIXTH_IS_GLOBAL: Final = 6


def _norm(name: str, module: str, size: Size = "hidden") -> Tensor:
    return vector(name, module, size, added=-1.0)


def _config(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    validate_headers(announced, dimensions)
    return {
        "head_dim": dimensions.head,
        "rms_norm_eps": announced.real("attention.layer_norm_rms_epsilon"),
        "hidden_act": "gelu_pytorch_tanh",
    }


def _gemma_config(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    require_unscaled(announced)
    return {**_config(announced, dimensions), "rope_theta": announced.real("rope.freq_base", 10000.0)}


def _query_scalar(family: str, dimensions: Dimensions) -> float:
    is_largest = dimensions.layers == _LAYERS_OF_27B[family]
    return dimensions.hidden / dimensions.heads if is_largest else float(dimensions.head)


def _gemma2_config(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    return {
        **_gemma_config(announced, dimensions),
        "query_pre_attn_scalar": _query_scalar("gemma2", dimensions),
        "attn_logit_softcapping": announced.real("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": announced.real("final_logit_softcapping", 30.0),
        # mlx-lm attends to everything in every layer: the same up to so many tokens.
        "sliding_window": announced.integer("attention.sliding_window", 4096),
    }


def _gemma3_config(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    if announced.integer("attention.sliding_window_pattern", _EVERY_SIXTH_IS_GLOBAL) != _EVERY_SIXTH_IS_GLOBAL:
        raise announced.error("its layers slide in another pattern than Gemma 3's, which is not converted from GGUF")
    return {
        **_config(announced, dimensions),
        "query_pre_attn_scalar": _query_scalar("gemma3", dimensions),
        "sliding_window": announced.integer("attention.sliding_window"),
        "sliding_window_pattern": _EVERY_SIXTH_IS_GLOBAL,
        "rope_theta": announced.real("rope.freq_base", 1_000_000.0),
        "rope_local_base_freq": announced.real("rope.freq_base_swa", 10000.0),
        **scaling_config(announced, dimensions),
    }


_ATTENTION: Final = (
    _norm("attn_norm", "input_layernorm"),
    matrix("attn_q", "self_attn.q_proj", "queries", "hidden"),
    matrix("attn_k", "self_attn.k_proj", "keys", "hidden"),
    matrix("attn_v", "self_attn.v_proj", "keys", "hidden"),
    matrix("attn_output", "self_attn.o_proj", "hidden", "queries"),
)
_MLP: Final = (
    matrix("ffn_gate", "mlp.gate_proj", "inner", "hidden"),
    matrix("ffn_up", "mlp.up_proj", "inner", "hidden"),
    matrix("ffn_down", "mlp.down_proj", "hidden", "inner"),
)
_FOUR_NORMS: Final = (
    _norm("post_attention_norm", "post_attention_layernorm"),
    _norm("ffn_norm", "pre_feedforward_layernorm"),
    _norm("post_ffw_norm", "post_feedforward_layernorm"),
)
_TOP: Final = (_norm("output_norm", "model.norm"),)

GEMMA: Final = Family(
    model_type="gemma",
    class_name="GemmaForCausalLM",
    top=_TOP,
    layer=(*_ATTENTION, _norm("ffn_norm", "post_attention_layernorm"), *_MLP),
    config=_gemma_config,
    output="is tied",
)
GEMMA2: Final = Family(
    model_type="gemma2",
    class_name="Gemma2ForCausalLM",
    top=_TOP,
    layer=(*_ATTENTION, *_FOUR_NORMS, *_MLP),
    config=_gemma2_config,
    output="is tied",
)
GEMMA3: Final = Family(
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
