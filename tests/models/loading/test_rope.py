"""RoPE settings in the format of transformers 5 mean the same as the older keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.config import normalised_config
from pensieve.models.loading.load import LoadedModel, load
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 512,
}
PROMPT = [(7 * index) % 250 + 3 for index in range(2000)]


def test_a_single_object_becomes_the_older_keys() -> None:
    config = normalised_config(
        {"model_type": "llama", "rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", **LLAMA3}}
    )
    assert config["rope_theta"] == 5e5
    assert config["rope_scaling"] == {**LLAMA3, "type": "llama3", "rope_type": "llama3"}


def test_the_default_type_means_no_scaling() -> None:
    config = normalised_config(
        {"rope_parameters": {"rope_theta": 1e4, "rope_type": "default", "partial_rotary_factor": 0.25}}
    )
    assert config["rope_scaling"] is None
    assert config["partial_rotary_factor"] == config["rotary_pct"] == 0.25
    assert config["rotary_emb_base"] == 1e4


def test_each_layer_type_has_its_own_base() -> None:
    layers = {
        "full_attention": {"rope_theta": 1e6, "rope_type": "linear", "factor": 8.0},
        "sliding_attention": {"rope_theta": 1e4, "rope_type": "default"},
    }
    config = normalised_config({"model_type": "gemma3", "text_config": {"rope_parameters": layers}})["text_config"]
    assert (config["rope_theta"], config["rope_local_base_freq"]) == (1e6, 1e4)
    assert config["rope_scaling"] == {"factor": 8.0, "type": "linear", "rope_type": "linear"}
    assert config["rope_parameters"] == layers


def test_layers_with_different_rotary_factors_get_no_shared_factor() -> None:
    layers = {
        "full_attention": {"rope_theta": 5e5, "partial_rotary_factor": 0.5},
        "sliding_attention": {"rope_theta": 1e4},
    }
    assert "partial_rotary_factor" not in normalised_config({"rope_parameters": layers})


@pytest.mark.parametrize(
    "config",
    [
        {"rope_theta": 1e6, "rope_scaling": {"rope_type": "llama3", **LLAMA3}},
        {"rope_theta": 1e6, "rope_scaling": None, "rope_parameters": None},
        {"model_type": "gpt2"},
        {"text_config": {"rope_theta": 7.0}, "vision_config": {"rope_theta": 8.0}},
    ],
)
def test_the_older_format_is_unchanged(config: dict[str, Any]) -> None:
    assert normalised_config(config) == config


def test_an_older_scaling_takes_precedence_as_in_transformers() -> None:
    older = {"rope_theta": 3.0, "rope_scaling": {"type": "linear", "factor": 2.0}}
    config = normalised_config({**older, "rope_parameters": {"rope_theta": 5.0, "rope_type": "default"}})
    assert {key: config[key] for key in older} == older


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "minimax_m2", "head_dim": 128}, {"rotary_dim": 64}),
        ({"model_type": "minimax_m2", "head_dim": 128, "rotary_dim": 32}, {"rotary_dim": 32}),
        ({"model_type": "dbrx", "attn_config": {"clip_qkv": 8}}, {"attn_config": {"clip_qkv": 8, "rope_theta": 9.0}}),
        ({"model_type": "solar_open"}, {"partial_rotary_factor": 0.5}),
    ],
)
def test_architectures_with_keys_of_their_own_get_them(config: dict[str, Any], expected: dict[str, Any]) -> None:
    found = normalised_config({**config, "rope_parameters": {"rope_theta": 9.0, "partial_rotary_factor": 0.5}})
    assert {key: found[key] for key in expected} == expected


def test_step_3_5_gets_a_base_for_each_layer() -> None:
    layers = {
        "full_attention": {"rope_theta": 5e6, "partial_rotary_factor": 0.5, "rope_type": "llama3", **LLAMA3},
        "sliding_attention": {"rope_theta": 1e4},
    }
    types = ["full_attention", "sliding_attention", "sliding_attention"]
    config = normalised_config({"model_type": "step3p5", "layer_types": types, "rope_parameters": layers})
    assert config["rope_theta"] == [5e6, 1e4, 1e4]
    assert config["partial_rotary_factors"] == [0.5, 1.0, 1.0]
    assert config["yarn_only_types"] == ["full_attention"]


def tiny(folder: Path, **config: Any) -> LoadedModel:
    write_byte_tokenizer(folder)
    write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259, max_position_embeddings=4096, **config)
    return load(ModelFolder(folder, "tiny", "Tiny", "2025-01-01T00:00:00Z"))


def greedy(model: LoadedModel) -> list[int]:
    from mlx_lm.generate import generate_step  # noqa: PLC0415 - only after load

    return [token for token, _ in generate_step(mx.array(PROMPT), model.model, max_tokens=16)]


def test_a_llama_generates_the_same_from_a_long_prompt_in_both_formats(tmp_path: Path) -> None:
    older = tiny(tmp_path / "older", rope_theta=5e5, rope_scaling={"rope_type": "llama3", **LLAMA3})
    parameters = {"rope_theta": 5e5, "rope_type": "llama3", **LLAMA3}
    newer = tiny(tmp_path / "newer", rope_theta=None, rope_parameters=parameters)
    lost = tiny(tmp_path / "lost", rope_theta=None)
    assert greedy(newer) == greedy(older) != greedy(lost)


def test_other_settings_of_the_folder_still_apply(tmp_path: Path) -> None:
    folder = write_byte_tokenizer(tmp_path)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 2]}))
    model = tiny(folder, rope_theta=None, rope_parameters={"rope_theta": 1e4})
    assert model.eos_token_ids == {0, 2}
