"""The llama architecture: Llama itself, Mistral, SmolLM2, DeepSeek Coder and many more go by this name in GGUF.

llama.cpp's converter interleaves the rows of q and k within each head, for its own way to turn them with the position;
`interleaved` says where. Llama 3's way to stretch positions is a tensor there, and a few numbers in mlx-lm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pensieve.models.gguf.architectures.family import Config, Dimensions, Family, matrix, vector
from pensieve.models.gguf.architectures.rope import ROPE_FREQS, scaling_config, validate_headers
from pensieve.models.gguf.metadata import ModelMetadata

GATED_MLP: Final = (
    vector("ffn_norm", "post_attention_layernorm"),
    matrix("ffn_gate", "mlp.gate_proj", "inner", "hidden"),
    matrix("ffn_up", "mlp.up_proj", "inner", "hidden"),
    matrix("ffn_down", "mlp.down_proj", "hidden", "inner"),
)


def own_config(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    """The keys of llama and of what is made after it."""
    validate_headers(announced, dimensions)
    has_freqs = announced.has_tensor(ROPE_FREQS)
    return {
        "head_dim": dimensions.head,
        "rms_norm_eps": announced.real("attention.layer_norm_rms_epsilon"),
        "rope_theta": announced.real("rope.freq_base", 10000.0),
        **scaling_config(announced, dimensions, has_freqs=has_freqs),
    }


def _config(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    if dimensions.head % 2:
        raise announced.error(f"heads of {dimensions.head} numbers cannot turn in pairs")
    config = own_config(announced, dimensions)
    if announced.has("attention.sliding_window"):
        # mlx-lm's llama attends to everything, as llama.cpp does; the number is kept for whoever reads the folder.
        config["sliding_window"] = announced.integer("attention.sliding_window")
    return config


LLAMA: Final = Family(
    model_type="llama",
    class_name="LlamaForCausalLM",
    top=(vector("output_norm", "model.norm"),),
    layer=(
        vector("attn_norm", "input_layernorm"),
        replace(matrix("attn_q", "self_attn.q_proj", "queries", "hidden"), interleaved="queries"),
        replace(matrix("attn_k", "self_attn.k_proj", "keys", "hidden"), interleaved="keys"),
        matrix("attn_v", "self_attn.v_proj", "keys", "hidden"),
        matrix("attn_output", "self_attn.o_proj", "hidden", "queries"),
        *GATED_MLP,
    ),
    config=_config,
    into_config=(ROPE_FREQS,),
)
