"""The tensors of a checkpoint's MTP head, by the names that its makers gave them."""

from __future__ import annotations

import pytest

from pensieve.models.mtp.names import head_names

QWEN = {
    "mtp.fc.weight": "projection.weight",
    "mtp.pre_fc_norm_embedding.weight": "embedding_norm.weight",
    "mtp.pre_fc_norm_hidden.weight": "hidden_norm.weight",
    "mtp.norm.weight": "norm.weight",
    "mtp.layers.0.self_attn.q_norm.weight": "layer.self_attn.q_norm.weight",
}
OF_A_LAYER = {
    "model.layers.4.eh_proj.scales": "projection.scales",
    "model.layers.4.enorm.weight": "embedding_norm.weight",
    "model.layers.4.hnorm.weight": "hidden_norm.weight",
    "model.layers.4.shared_head.norm.weight": "norm.weight",
    "model.layers.4.mlp.experts.0.up_proj.weight": "layer.mlp.experts.0.up_proj.weight",
}
OTHERS = ("model.norm.weight", "lm_head.weight", "model.layers.0.mlp.gate.weight", "language_model.model.norm.weight")


@pytest.mark.parametrize("model_type", ["qwen3_next", "qwen3_5", "qwen3_5_moe"])
@pytest.mark.parametrize("prefix", ["", "language_model."])
def test_qwen_keeps_its_head_beside_the_model(model_type: str, prefix: str) -> None:
    expected = {prefix + name: own for name, own in QWEN.items()}
    more = ("mtp.layers.1.self_attn.q_proj.weight", "mtp.embed_tokens.weight")
    assert head_names({"model_type": model_type}, (*expected, *OTHERS, *more)) == expected


@pytest.mark.parametrize("model_type", ["deepseek_v3", "glm4_moe"])
def test_deepseek_and_glm_keep_it_as_one_more_layer_with_copies_of_what_is_shared(model_type: str) -> None:
    copies = ("model.layers.4.embed_tokens.weight", "model.layers.4.shared_head.head.weight")
    names = (*OF_A_LAYER, *OTHERS, *copies, "model.layers.5.enorm.weight", "model.layers.40.enorm.weight")
    assert head_names({"model_type": model_type, "num_hidden_layers": 4}, names) == OF_A_LAYER


def test_other_models_have_none() -> None:
    assert head_names({"model_type": "llama", "num_hidden_layers": 4}, (*QWEN, *OF_A_LAYER)) == {}
