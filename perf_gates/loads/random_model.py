"""Writes a model of today's kinds with random 4-bit weights: a hybrid, or a mixture of experts with sliding windows.

    python -m perf_gates.loads.random_model qwen3.5-9b FOLDER
    pytest perf_gates --shape FOLDER

The weights are made on the device by mlx-lm's own classes, one layer at a time: that takes seconds on a GPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from pensieve.device import blas

blas.preload()  # before anything imports MLX

# ruff: noqa: E402
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm

import_mlx_lm()  # before anything else imports it

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm.utils import quantize_model, save_config, save_model

from perf_gates.loads.byte_tokenizer import write_byte_tokenizer
from perf_gates.loads.shapes import BITS, END_TOKEN, GROUP_SIZE, widen_tokenizer

QWEN3_5_9B: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 248320,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": 32,
        "linear_key_head_dim": 128,
        "linear_value_head_dim": 128,
    }
)
GPT_OSS_20B: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "hidden_size": 2880,
        "intermediate_size": 2880,
        "num_hidden_layers": 24,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "num_local_experts": 32,
        "num_experts_per_tok": 4,
        "vocab_size": 201088,
        "sliding_window": 128,
        "rope_theta": 150000,
    }
)


def config_of(name: str, **overrides: Any) -> dict[str, Any]:
    """The content of config.json. `overrides` replace sizes."""
    common = {"eos_token_id": END_TOKEN, "max_position_embeddings": 32768}
    if name == "qwen3.5-9b":
        text = {"model_type": "qwen3_5", **common, **QWEN3_5_9B, **overrides}
        return {"model_type": "qwen3_5", "text_config": text, **common}
    sizes = {**GPT_OSS_20B, **overrides}
    kinds = ("sliding_attention", "full_attention")
    layer_types = [kinds[number % 2] for number in range(sizes["num_hidden_layers"])]
    return {"model_type": "gpt_oss", **common, **sizes, "layer_types": layer_types}


def write_random_model(folder: Path, config: Mapping[str, Any]) -> None:
    write_byte_tokenizer(folder)
    widen_tokenizer(folder / "tokenizer.json", config.get("text_config", config)["vocab_size"])
    classes = import_module(f"mlx_lm.models.{config['model_type']}")
    model = classes.Model(classes.ModelArgs.from_dict(config))
    model.set_dtype(mx.bfloat16)
    model, packed_config = quantize_model(model, dict(config), GROUP_SIZE, BITS)
    for _, array in cast("list[tuple[str, mx.array]]", tree_flatten(model.parameters())):
        mx.eval(array)  # one by one: unpacked, they may not fit together
    save_model(folder, model, donate_model=True)
    save_config(packed_config, folder / "config.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m perf_gates.loads.random_model", description=__doc__)
    parser.add_argument("name", choices=("qwen3.5-9b", "gpt-oss-20b"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    write_random_model(options.folder, config_of(options.name))


if __name__ == "__main__":
    main()
