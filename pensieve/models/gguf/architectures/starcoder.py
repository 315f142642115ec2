"""StarCoder 2: biases everywhere, and no gate."""

from __future__ import annotations

from typing import Final

from pensieve.models.gguf.architectures.family import Config, Dimensions, Family, matrix, vector
from pensieve.models.gguf.architectures.rope import require_unscaled, validate_headers
from pensieve.models.gguf.metadata import ModelMetadata


def _config(announced: ModelMetadata, dimensions: Dimensions) -> Config:
    validate_headers(announced, dimensions)
    require_unscaled(announced)
    if dimensions.head * dimensions.heads != dimensions.hidden:
        raise announced.error(f"{dimensions.heads} heads of {dimensions.head} are not the width of {dimensions.hidden}")
    return {
        "norm_epsilon": announced.real("attention.layer_norm_epsilon"),
        "rope_theta": announced.real("rope.freq_base", 10000.0),
    }


STARCODER2: Final = Family(
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
        matrix("ffn_up", "mlp.c_fc", "inner", "hidden", bias=True),
        matrix("ffn_down", "mlp.c_proj", "hidden", "inner", bias=True),
    ),
    config=_config,
)
