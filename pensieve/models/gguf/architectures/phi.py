"""Phi 2 and Phi 3, both with partial rotary embeddings. GGUF uses `phi3` for Phi 4 and Phi 4 mini too.

Most Phi 2 files fuse queries, keys and values in one tensor, which mlx-lm splits in three. Phi 3 fuses them in both
formats, and also gate and up.
"""

from __future__ import annotations

from typing import Final

from pensieve.models.gguf.architectures.family import (
    ArchitectureFamily,
    Config,
    Dimensions,
    ModuleRows,
    TensorMapping,
    matrix,
    require_full_width,
    vector,
)
from pensieve.models.gguf.architectures.rope import (
    LONG_FACTORS,
    SHORT_FACTORS,
    longrope_config,
    require_unscaled,
    rotary_fraction,
)
from pensieve.models.gguf.metadata import GgufMetadata

_QUERIES, _KEYS, _VALUES = "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"


def _phi2_config(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    require_full_width(metadata, dimensions)
    require_unscaled(metadata)
    return {
        "layer_norm_eps": metadata.positive_float("attention.layer_norm_epsilon"),
        "rope_theta": metadata.positive_float("rope.freq_base", 10000.0),
        "partial_rotary_factor": rotary_fraction(metadata, dimensions),
    }


def _phi3_config(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    require_full_width(metadata, dimensions)
    fraction = rotary_fraction(metadata, dimensions)
    original = metadata.integer("rope.scaling.original_context_length", metadata.integer("context_length"), minimum=2)
    config: Config = {
        "rms_norm_eps": metadata.positive_float("attention.layer_norm_rms_epsilon"),
        "rope_theta": metadata.positive_float("rope.freq_base", 10000.0),
        "partial_rotary_factor": fraction,
        "original_max_position_embeddings": original,
    }
    if window := metadata.integer("attention.sliding_window", 0, minimum=0):
        # Neither mlx-lm nor llama.cpp uses the window; the key is only informative.
        config["sliding_window"] = window
    if metadata.has_tensor(LONG_FACTORS) or metadata.has_tensor(SHORT_FACTORS):
        scaling_type = metadata.string("rope.scaling.type", "longrope")
        if scaling_type != "longrope":
            raise metadata.error(f"RoPE is scaled by {scaling_type!r:.40} and by tensor {LONG_FACTORS!r} at once")
        return {**config, **longrope_config(metadata, int(fraction * dimensions.head_dim))}
    require_unscaled(metadata)
    return config


PHI2: Final = ArchitectureFamily(
    model_type="phi",
    class_name="PhiForCausalLM",
    top=(vector("output_norm", "model.final_layernorm", bias=True),),
    layer=(
        vector("attn_norm", "input_layernorm", bias=True),
        TensorMapping(
            "attn_qkv",
            (ModuleRows(_QUERIES, "queries"), ModuleRows(_KEYS, "keys"), ModuleRows(_VALUES, "keys")),
            "hidden",
            bias=True,
        ),
        matrix("attn_output", "self_attn.dense", "hidden", "queries", bias=True),
        matrix("ffn_up", "mlp.fc1", "intermediate", "hidden", bias=True),
        matrix("ffn_down", "mlp.fc2", "hidden", "intermediate", bias=True),
    ),
    config=_phi2_config,
    output="separate",
    output_bias=True,
    alternatives={
        "attn_qkv": (
            matrix("attn_q", _QUERIES, "queries", "hidden", bias=True),
            matrix("attn_k", _KEYS, "keys", "hidden", bias=True),
            matrix("attn_v", _VALUES, "keys", "hidden", bias=True),
        )
    },
)

PHI3: Final = ArchitectureFamily(
    model_type="phi3",
    class_name="Phi3ForCausalLM",
    top=(vector("output_norm", "model.norm"),),
    layer=(
        vector("attn_norm", "input_layernorm"),
        matrix("attn_qkv", "self_attn.qkv_proj", "queries and keys", "hidden"),
        matrix("attn_output", "self_attn.o_proj", "hidden", "queries"),
        vector("ffn_norm", "post_attention_layernorm"),
        matrix("ffn_up", "mlp.gate_up_proj", "gate and up", "hidden"),
        matrix("ffn_down", "mlp.down_proj", "hidden", "intermediate"),
    ),
    config=_phi3_config,
    config_tensors=(LONG_FACTORS, SHORT_FACTORS),
)
