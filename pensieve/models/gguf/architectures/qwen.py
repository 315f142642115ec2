"""Qwen 2 and 2.5 (biases on q, k and v), and dense Qwen 3 (norms on q and k)."""

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
from pensieve.models.gguf.architectures.llama import GATED_MLP, llama_config
from pensieve.models.gguf.metadata import GgufMetadata


def _qwen2_config(metadata: GgufMetadata, dimensions: Dimensions) -> Config:
    require_full_width(metadata, dimensions)
    return llama_config(metadata, dimensions)


QWEN2: Final = ArchitectureFamily(
    model_type="qwen2",
    class_name="Qwen2ForCausalLM",
    top=(vector("output_norm", "model.norm"),),
    layer=(
        vector("attn_norm", "input_layernorm"),
        matrix("attn_q", "self_attn.q_proj", "queries", "hidden", bias=True),
        matrix("attn_k", "self_attn.k_proj", "keys", "hidden", bias=True),
        matrix("attn_v", "self_attn.v_proj", "keys", "hidden", bias=True),
        matrix("attn_output", "self_attn.o_proj", "hidden", "queries"),
        *GATED_MLP,
    ),
    config=_qwen2_config,
)

QWEN3: Final = ArchitectureFamily(
    model_type="qwen3",
    class_name="Qwen3ForCausalLM",
    top=(vector("output_norm", "model.norm"),),
    layer=(
        vector("attn_norm", "input_layernorm"),
        matrix("attn_q", "self_attn.q_proj", "queries", "hidden"),
        matrix("attn_k", "self_attn.k_proj", "keys", "hidden"),
        matrix("attn_v", "self_attn.v_proj", "keys", "hidden"),
        matrix("attn_output", "self_attn.o_proj", "hidden", "queries"),
        vector("attn_q_norm", "self_attn.q_norm", "head"),
        vector("attn_k_norm", "self_attn.k_norm", "head"),
        *GATED_MLP,
    ),
    config=llama_config,
)
