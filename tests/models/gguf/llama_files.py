"""GGUF files from a llama in MLX format, with each matrix in any type, as llama.cpp would write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import gguf
import mlx.core as mx
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType as GgmlType

from tests.models.gguf.gguf_files import Edit, gguf_name
from tests.models.gguf.k_quantizers import K_TYPES, k_quantized, q8_k_dequantized

Array = npt.NDArray[np.float32]
Weights = Mapping[str, Array] | Mapping[str, npt.NDArray[np.float16]]
QuantizedRows = dict[tuple[str, str], npt.NDArray[np.uint8]]
"""Blocks by tensor name and type, for the simple types that others fall back to."""
TypeOf = Callable[[str, tuple[int, ...]], str]
"""Chooses the type of a matrix by its name in the file and its shape."""

SIMPLE_TYPES: Final = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0")
DENSE_TYPES: Final = ("F32", "F16", "BF16")
QUANTIZED_TYPES: Final = (*SIMPLE_TYPES, *K_TYPES)
_FALLBACK_TYPES: Final = {
    "Q2_K": "Q4_0",
    "Q3_K": "Q4_0",
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
    "Q8_K": "Q8_0",
}


def fitting(type_name: str, columns: int) -> str:
    """The type that llama.cpp falls back to if a row is not a multiple of 256."""
    return _FALLBACK_TYPES.get(type_name, type_name) if columns % 256 else type_name


def quantized(weights: Array, type_name: str) -> npt.NDArray[np.uint8]:
    if type_name in K_TYPES:
        return k_quantized(weights, type_name)
    return np.asarray(gguf.quants.quantize(weights, GgmlType[type_name]))


def dequantized(rows: npt.NDArray[np.uint8], type_name: str) -> Array:
    """With the reference implementation, which supports all types except Q8_K."""
    if type_name == "Q8_K":
        return q8_k_dequantized(rows)
    return np.asarray(gguf.quants.dequantize(rows, GgmlType[type_name]), np.float32)


def dense_llama(folder: Path) -> dict[str, Array]:
    """The weights of a folder in MLX format, dequantised to f32, by module."""
    arrays = mx.load(str(folder / "model.safetensors"))
    assert isinstance(arrays, dict)
    quantization = json.loads((folder / "config.json").read_text()).get("quantization", {})
    weights = {}
    for module in (name.removesuffix(".weight") for name in arrays if name.endswith(".weight")):
        weight = arrays[f"{module}.weight"]
        if f"{module}.scales" in arrays:
            settings = quantization.get(module, quantization)
            scales, biases = (arrays[f"{module}.{part}"].astype(mx.float32) for part in ("scales", "biases"))
            weight = mx.dequantize(weight, scales, biases, settings["group_size"], settings["bits"])
        weights[module] = np.array(weight.astype(mx.float32))
    return weights


def write_llama_from(
    path: Path,
    folder: Path,
    weights: Weights,
    type_of: TypeOf,
    add_tokenizer: Edit,
    *,
    cache: QuantizedRows | None = None,
) -> None:
    """Write `weights`, by mlx-lm's names, with the config of `folder`. Rows in `cache` are not quantised again."""
    cache = {} if cache is None else cache
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(path, "llama")
    _add_config(writer, config)
    add_tokenizer(writer)
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    for module, weight in weights.items():
        name = "output.weight" if module == "lm_head" else gguf_name(module)
        type_name = "F32" if weight.ndim == 1 else type_of(name, weight.shape)
        rows = cache.get((name, type_name))
        if rows is None:
            dense = np.asarray(weight, np.float32)
            rows = quantized(interleaved(dense, heads.get(module.rpartition(".")[2])), type_name)
            if type_name in SIMPLE_TYPES:
                cache[name, type_name] = rows
        writer.add_tensor(name, rows, raw_dtype=GgmlType[type_name])
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()


def interleaved(weight: Array, heads: int | None) -> Array:
    """`permute` in llama.cpp's converter."""
    if heads is None:
        return weight
    return weight.reshape(heads, 2, len(weight) // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _add_config(writer: gguf.GGUFWriter, config: Mapping[str, Any]) -> None:
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_theta"])


def add_tokenizer_of(folder: Path, writer: gguf.GGUFWriter) -> None:
    """Add the byte-level tokenizer of a folder to the metadata."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    ids = {**tokenizer["model"]["vocab"], **{token["content"]: token["id"] for token in tokenizer["added_tokens"]}}
    tokens = sorted(ids, key=lambda token: ids[token])
    control = {token["content"] for token in tokenizer["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in control else 1 for token in tokens])
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in tokenizer["model"]["merges"]]
    )
    writer.add_bos_token_id(ids[settings["bos_token"]])
    writer.add_eos_token_id(ids[settings["eos_token"]])
    writer.add_chat_template(settings["chat_template"])
