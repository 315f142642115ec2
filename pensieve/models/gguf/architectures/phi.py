"""Phi 2 and Phi 3 (Phi 4 and its mini go by the latter's name). A part of each head may turn with the position.

Phi 2's queries, keys and values are one tensor in most files, which mlx-lm has as three; Phi 3's are one in both, as
are gate and up.
"""

from __future__ import annotations

from typing import Final

from pensieve.models.gguf.architectures.family import Config, Dimensions, Family, Part, Tensor, matrix, vector
from pensieve.models.gguf.architectures.rope import (
    LONG_FACTORS,
    SHORT_FACTORS,
    longrope,
    require_unscaled,
    rotary_fraction,
)
from pensieve.models.gguf.metadata import ModelMetadata

_QUERIES, _KEYS, _VALUES = "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"


def _phi2_config(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    _require_full_width(announced, dimensions)
    require_unscaled(announced)
    return {
        "layer_norm_eps": announced.real("attention.layer_norm_epsilon"),
        "rope_theta": announced.real("rope.freq_base", 10000.0),
        "partial_rotary_factor": rotary_fraction(announced, dimensions),
    }


def _phi3_config(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    _require_full_width(announced, dimensions)
    fraction = rotary_fraction(announced, dimensions)
    original = announced.integer("rope.scaling.original_context_length", announced.integer("context_length"), least=2)
    config: Config = {
        "rms_norm_eps": announced.real("attention.layer_norm_rms_epsilon"),
        "rope_theta": announced.real("rope.freq_base", 10000.0),
        "partial_rotary_factor": fraction,
        "original_max_position_embeddings": original,
    }
    if window := announced.integer("attention.sliding_window", 0, least=0):
        # Neither mlx-lm nor llama.cpp uses it; the number is kept for whoever reads the folder.
        config["sliding_window"] = window
    if announced.has_tensor(LONG_FACTORS) or announced.has_tensor(SHORT_FACTORS):
        kind = announced.text("rope.scaling.type", "longrope")
        if kind != "longrope":
            raise announced.error(f"its positions are scaled by {kind!r:.40} and by {LONG_FACTORS!r} at once")
        return {**config, **longrope(announced, int(fraction * dimensions.head))}
    require_unscaled(announced)
    return config


def _require_full_width(announced: ModelMetadata, dimensions: Dimensions) -> None:
    """mlx-lm finds the width of a head by division.

    Raises:
        ModelLoadingError: the file's is another.
    """
    if dimensions.head * dimensions.heads != dimensions.hidden:
        raise announced.error(f"{dimensions.heads} heads of {dimensions.head} are not the width of {dimensions.hidden}")


PHI2: Final = Family(
    model_type="phi",
    class_name="PhiForCausalLM",
    top=(vector("output_norm", "model.final_layernorm", bias=True),),
    layer=(
        vector("attn_norm", "input_layernorm", bias=True),
        Tensor(
            "attn_qkv", (Part(_QUERIES, "queries"), Part(_KEYS, "keys"), Part(_VALUES, "keys")), "hidden", bias=True
        ),
        matrix("attn_output", "self_attn.dense", "hidden", "queries", bias=True),
        matrix("ffn_up", "mlp.fc1", "inner", "hidden", bias=True),
        matrix("ffn_down", "mlp.fc2", "hidden", "inner", bias=True),
    ),
    config=_phi2_config,
    output="is apart",
    output_bias=True,
    instead={
        "attn_qkv": (
            matrix("attn_q", _QUERIES, "queries", "hidden", bias=True),
            matrix("attn_k", _KEYS, "keys", "hidden", bias=True),
            matrix("attn_v", _VALUES, "keys", "hidden", bias=True),
        )
    },
)

PHI3: Final = Family(
    model_type="phi3",
    class_name="Phi3ForCausalLM",
    top=(vector("output_norm", "model.norm"),),
    layer=(
        vector("attn_norm", "input_layernorm"),
        matrix("attn_qkv", "self_attn.qkv_proj", "queries and keys", "hidden"),
        matrix("attn_output", "self_attn.o_proj", "hidden", "queries"),
        vector("ffn_norm", "post_attention_layernorm"),
        matrix("ffn_up", "mlp.gate_up_proj", "gate and up", "hidden"),
        matrix("ffn_down", "mlp.down_proj", "hidden", "inner"),
    ),
    config=_phi3_config,
    into_config=(LONG_FACTORS, SHORT_FACTORS),
)
