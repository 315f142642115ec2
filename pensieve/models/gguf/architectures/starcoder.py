"""StarCoder 2: biases on every module, and an MLP without a gate."""

from __future__ import annotations

from typing import Final

from pensieve.models.gguf.architectures.family import (
    ArchitectureFamily,
    Config,
    Dimensions,
    matrix,
    require_full_width,
    vector,
)
from pensieve.models.gguf.architectures.rope import require_full_rotary, require_unscaled
from pensieve.models.gguf.metadata import GgufMetadata


def _config(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    require_full_rotary(metadata, dimensions)
    require_unscaled(metadata)
    require_full_width(metadata, dimensions)
    return {
        "norm_epsilon": metadata.positive_float("attention.layer_norm_epsilon"),
        "rope_theta": metadata.positive_float("rope.freq_base", 10000.0),
    }


STARCODER2: Final = ArchitectureFamily(
    model_type="starcoder2",
    class_name="Starcoder2ForCausalLM",
    top=(vector("output_norm", "model.norm", bias=True),),
    layer=(
        vector("attn_norm", "input_layernorm", bias=True),
        matrix("attn_q", "self_attn.q_proj", "queries", "hidden", bias=True),
        matrix("attn_k", "self_attn.k_proj", "keys", "hidden", bias=True),
        matrix("attn_v", "self_attn.v_proj", "keys", "hidden", bias=True),
        matrix("attn_output", "self_attn.o_proj", "hidden", "queries", bias=True),
        vector("ffn_norm", "post_attention_layernorm", bias=True),
        matrix("ffn_up", "mlp.c_fc", "intermediate", "hidden", bias=True),
        matrix("ffn_down", "mlp.c_proj", "hidden", "intermediate", bias=True),
    ),
    config=_config,
)
