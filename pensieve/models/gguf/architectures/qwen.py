"""Qwen 2, 2.5 and their coders (biases on q, k and v), and Qwen 3 (norms on q and k). Nothing is interleaved."""

from __future__ import annotations

from typing import Final

from pensieve.models.gguf.architectures.family import Config, Dimensions, Family, matrix, vector
from pensieve.models.gguf.architectures.llama import GATED_MLP, own_config
from pensieve.models.gguf.metadata import ModelMetadata


def _qwen2_config(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    if dimensions.head * dimensions.heads != dimensions.hidden:
        raise announced.error(f"{dimensions.heads} heads of {dimensions.head} are not the width of {dimensions.hidden}")
    return own_config(announced, dimensions)


QWEN2: Final = Family(
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

QWEN3: Final = Family(
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
    config=own_config,
)
