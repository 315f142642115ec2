"""The estimates made before loading agree with what is measured on loading."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten

from pensieve.core.errors import ModelLoadingError
from pensieve.device.device import device_info
from pensieve.engine.kv.sizes import measured_sizes
from pensieve.models.estimate.footprint import Footprint, activations_estimate, footprint
from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import load
from pensieve.models.safetensors.headers import TensorHeader, folder_headers
from tests.engine.support.tiny_modules import prefill
from tests.models.loading.mlx_lm_models import SIZES, write_model

_EXPERTS = {
    "num_experts": 8,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
    "norm_topk_prob": True,
}
_LATENT = {"kv_lora_rank": 64, "q_lora_rank": 64, "qk_rope_head_dim": 16, "qk_nope_head_dim": 48, "v_head_dim": 64}
_ROUTED = {
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 64,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
}
_YARN = {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 256, "mscale_all_dim": 0}
CONFIGS: list[dict[str, Any]] = [
    {"model_type": "llama", "tie_word_embeddings": False},
    {"model_type": "llama", "tie_word_embeddings": True},
    {"model_type": "qwen2", "tie_word_embeddings": True, "head_dim": None},
    {"model_type": "qwen3", "tie_word_embeddings": False},
    {"model_type": "gemma3_text", "sliding_window": 16, "sliding_window_pattern": 2},
    {"model_type": "phi3", "head_dim": None},
    {"model_type": "deepseek_v2", **_LATENT, **_ROUTED, "topk_method": "greedy", "rope_scaling": _YARN},
    {"model_type": "deepseek_v3", **_LATENT, **_ROUTED, "n_group": 1, "topk_group": 1},
    {"model_type": "qwen3_moe", **_EXPERTS, "tie_word_embeddings": False},
]


def _config(special: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**SIZES, **special}.items() if value is not None}


def _estimate(folder: Path, *, dense: bool) -> Footprint:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return footprint(config, folder_headers("a model", folder), dense=dense)


@pytest.mark.parametrize("bits", [None, 4, 8])
@pytest.mark.parametrize("special", CONFIGS, ids=lambda special: special["model_type"])
def test_weights_and_kv_take_the_estimated_bytes(special: dict[str, Any], bits: int | None, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", _config(special), bits=bits)
    packed, _ = importlib.import_module("mlx_lm.utils").load_model(folder, lazy=True)
    held = dict(tree_flatten(packed.parameters()))
    assert _estimate(folder, dense=False).weights_bytes == sum(array.nbytes for array in held.values())
    loaded = load(resolve(str(folder), progress=SilentProgress()))
    estimate = _estimate(folder, dense=device_info().backend == "cpu")
    assert estimate.weights_bytes == loaded.weights_bytes
    assert estimate.kv is not None
    assert estimate.kv.bytes_per_token() == sum(
        layer.bytes_per_token for layer in measured_sizes(prefill(loaded, [0])).layers
    )
    assert estimate.window_tokens == loaded.context_window_tokens == 512


@pytest.mark.parametrize(
    ("types", "expected"),
    [({mx.float16}, 2), ({mx.bfloat16}, 2), ({mx.float32}, 4)],
    ids=["half", "bfloat", "float"],
)
def test_keys_and_values_have_the_type_of_the_weights(types: set[mx.Dtype], expected: int, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", _config(CONFIGS[0]), dtype=types.pop())
    kv = _estimate(folder, dense=False).kv
    assert kv is not None
    assert kv.number_bytes == expected


def _headers(*shapes: tuple[str, tuple[int, ...]], dtype: str = "F16") -> list[TensorHeader]:
    return [TensorHeader(name, dtype, shape) for name, shape in shapes]


def test_a_token_reads_all_weights_except_lookup_tables() -> None:
    table, matrix = ("model.embed_tokens.weight", (100, 8)), ("model.layers.0.mlp.up_proj.weight", (16, 8))
    head = ("lm_head.weight", (100, 8))
    untied = footprint({**SIZES, "model_type": "llama"}, _headers(table, matrix, head), dense=False)
    assert untied.weights_bytes == 2 * (800 + 128 + 800)
    assert untied.token_cost.bytes_per_token == 2 * (128 + 800)
    tied = footprint(
        {**SIZES, "model_type": "llama", "tie_word_embeddings": True}, _headers(table, matrix, head), dense=False
    )
    assert tied.weights_bytes == tied.token_cost.bytes_per_token == 2 * (800 + 128)


def test_a_token_reads_only_its_active_experts(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", _config(CONFIGS[-1]))
    estimate = _estimate(folder, dense=False)
    experts = 2 * 4 * 8 * 3 * 64 * 128  # f16, layers, experts, matrices of each
    table = 2 * 320 * 128
    assert estimate.token_cost.bytes_per_token == estimate.weights_bytes - table - experts * 6 // 8
    assert (estimate.token_cost.expert_bytes, estimate.token_cost.expert_share) == (experts, 2 / 8)
    assert estimate.token_cost.bytes_read(1000) == pytest.approx(estimate.weights_bytes - table)
    config = _config({**CONFIGS[-1], "num_experts_per_tok": None})
    unstated = footprint(config, folder_headers("a model", folder), dense=False)
    assert unstated.token_cost.bytes_per_token == estimate.weights_bytes - table
    assert "experts" in unstated.remarks[0]


def test_an_mtp_head_is_counted_beside_the_model() -> None:
    model = ("model.layers.0.mlp.up_proj.weight", (16, 8))
    head = [
        ("mtp.fc.weight", (8, 16)),
        ("mtp.layers.0.mlp.up_proj.weight", (16, 8)),
        ("mtp.embed_tokens.weight", (9, 9)),
    ]
    found = footprint({**SIZES, "model_type": "qwen3_5"}, _headers(model, *head), dense=False)
    assert (found.weights_bytes, found.mtp_bytes) == (256, 512), "the model's own embeddings serve both"
    dense = footprint({**SIZES, "model_type": "qwen3_5"}, _headers(model, *head), dense=True)
    assert dense.mtp_bytes == 1024


def test_tensors_that_mlx_lm_drops_are_not_counted() -> None:
    kept = ("model.layers.0.mlp.up_proj.weight", (16, 8))
    dropped = [
        ("vision_tower.blocks.0.attn.weight", (8, 8)),
        ("model.visual.patch.weight", (8, 8)),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", (8,)),
        ("model.layers.4.mlp.up_proj.weight", (16, 8)),  # after the last layer: predicts several tokens
    ]
    assert footprint({**SIZES, "model_type": "llama"}, _headers(kept, *dropped), dense=False).weights_bytes == 256


def test_mxfp4_weights_of_openai_count_two_numbers_per_byte() -> None:
    blocks = TensorHeader("model.layers.0.mlp.experts.gate_up_proj_blocks", "U8", (4, 8, 2, 16))
    scales = TensorHeader("model.layers.0.mlp.experts.gate_up_proj_scales", "U8", (4, 8, 2))
    config = {**SIZES, "model_type": "gpt_oss", "num_local_experts": 4, "num_experts_per_tok": 2}
    estimate = footprint(config, [blocks, scales], dense=False)
    assert estimate.num_parameters == 4 * 8 * 2 * 32
    assert estimate.weights_bytes == 4 * 8 * 2 * 17
    assert footprint(config, [blocks, scales], dense=True).weights_bytes == 4 * 4 * 8 * 2 * 32


def test_an_unknown_architecture_gets_weights_but_no_kv_estimate() -> None:
    estimate = footprint({**SIZES, "model_type": "rwkv7"}, _headers(("model.a.weight", (4, 4))), dense=False)
    assert estimate.weights_bytes == 32
    assert estimate.kv is None
    assert "rwkv7" in estimate.kv_unknown


def test_attention_scores_take_memory_unless_fused() -> None:
    def estimated(*, fused: bool) -> int:
        config = {**SIZES, "model_type": "llama"}
        return activations_estimate(config, chunk_tokens=128, context_tokens=4096, number_bytes=4, fused=fused)

    assert estimated(fused=False) - estimated(fused=True) == 2 * 4 * 128 * 4096 * 4


def test_a_truncated_or_missing_file_is_named(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", _config(CONFIGS[0]))
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ModelLoadingError, match=r"model\.safetensors"):
        folder_headers("a model", folder)
    file.unlink()
    with pytest.raises(ModelLoadingError, match="has no model"):
        folder_headers("a model", folder)
