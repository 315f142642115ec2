"""Folders of small models with random weights, of any architecture of mlx-lm."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from tests.support.mlx_lm_classes import classes_of
from tests.support.tiny_model import write_byte_tokenizer

SIZES: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "intermediate_size": 192,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "rms_norm_eps": 1e-5,
    "vocab_size": 320,
    "max_position_embeddings": 512,
    "rope_theta": 10000.0,
}


def write_model(folder: Path, config: dict[str, Any], *, bits: int | None = None, dtype: mx.Dtype = mx.float16) -> Path:
    """A model of `config` with a byte tokenizer. With `bits`, its weights are packed in groups of 64."""
    nn: Any = importlib.import_module("mlx.nn")
    mx.random.seed(0)
    model_class, args_class = classes_of(config["model_type"])
    model = model_class(args_class.from_dict(config))
    model.set_dtype(dtype)
    if bits is not None:
        nn.quantize(model, 64, bits, class_predicate=lambda _, module: _can_be_packed(module))
        config = {**config, "quantization": {"group_size": 64, "bits": bits, "mode": "affine"}}
    write_byte_tokenizer(folder)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    return folder


def _can_be_packed(module: Any) -> bool:
    return hasattr(module, "to_quantized") and module["weight"].shape[-1] % 64 == 0
