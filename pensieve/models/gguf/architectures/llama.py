"""The llama architecture: GGUF uses it for Llama, Mistral, SmolLM2, DeepSeek Coder and many more.

llama.cpp's converter interleaves the rows of q and k within each head to suit its RoPE kernel; `interleaved` marks
these tensors. Llama 3's RoPE scaling is a tensor in GGUF and a few parameters in mlx-lm.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pensieve.models.gguf.architectures.family import ArchitectureFamily, Config, Dimensions, matrix, vector
from pensieve.models.gguf.architectures.rope import ROPE_FREQS, require_full_rotary, scaling_config
from pensieve.models.gguf.metadata import GgufMetadata

GATED_MLP: Final = (
    vector("ffn_norm", "post_attention_layernorm"),
    matrix("ffn_gate", "mlp.gate_proj", "intermediate", "hidden"),
    matrix("ffn_up", "mlp.up_proj", "intermediate", "hidden"),
    matrix("ffn_down", "mlp.down_proj", "hidden", "intermediate"),
)


def llama_config(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    """The keys that llama shares with the architectures derived from it."""
    require_full_rotary(metadata, dimensions)
    has_freqs = metadata.has_tensor(ROPE_FREQS)
    return {
        "head_dim": dimensions.head_dim,
        "rms_norm_eps": metadata.positive_float("attention.layer_norm_rms_epsilon"),
        "rope_theta": metadata.positive_float("rope.freq_base", 10000.0),
        **scaling_config(metadata, dimensions, has_freqs=has_freqs),
    }


def _config(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    if dimensions.head_dim % 2:
        raise metadata.error(f"RoPE needs an even head size, not {dimensions.head_dim}")
    config = llama_config(metadata, dimensions)
    if metadata.has("attention.sliding_window"):
        # Like llama.cpp, mlx-lm's llama ignores the window and uses full attention; the key is only informative.
        config["sliding_window"] = metadata.integer("attention.sliding_window")
    return config


LLAMA: Final = ArchitectureFamily(
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
    config_tensors=(ROPE_FREQS,),
)
