"""A tiny model of each architecture, as mlx-lm's model and as the GGUF file that llama.cpp's converter would write.

Tensor names come from the `gguf` package's own table and keys from its writer. What the converter does to the weights
is reimplemented from its source (convert_hf_to_gguf.py). So the files do not depend on the tables under test.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import gguf
import mlx.core as mx
import numpy as np
import numpy.typing as npt
from gguf import MODEL_ARCH as ARCH
from gguf import GGMLQuantizationType as GgmlType
from mlx.utils import tree_flatten, tree_unflatten

from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from tests.models.gguf.gguf_files import HEADS, HIDDEN, INNER, KV_HEADS, LAYERS, VOCABULARY, add_byte_tokenizer

Array = npt.NDArray[np.float32]
Weights = dict[str, Array]
CONTEXT = 512


@dataclass(frozen=True)
class ArchitectureCase:
    architecture: ARCH
    config: Mapping[str, Any]
    """Of mlx-lm's model, without the sizes that all cases share."""
    add_metadata: Callable[[gguf.GGUFWriter], None] | None = None
    transform: Callable[[Weights], Weights] = lambda weights: weights
    """What the converter does to the weights, which have mlx-lm's names."""
    extra_tensors: Mapping[str, Array] = field(default_factory=dict)
    """Tensors that only the file has."""

    @property
    def full_config(self) -> dict[str, Any]:
        sizes = {
            "hidden_size": HIDDEN,
            "num_hidden_layers": LAYERS,
            "intermediate_size": INNER,
            "num_attention_heads": HEADS,
            "num_key_value_heads": KV_HEADS,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": CONTEXT,
        }
        return {**sizes, **self.config}


def reference_model(case: ArchitectureCase) -> Any:
    """mlx-lm's model with random weights, including norms and biases."""
    import_mlx_lm()
    module = importlib.import_module(f"mlx_lm.models.{case.config['model_type']}")
    model = module.Model(module.ModelArgs.from_dict(case.full_config))
    if case.config.get("tie_word_embeddings") and hasattr(model, "lm_head"):
        model.sanitize({})  # Gemma 3 ties its embeddings here
    random = np.random.default_rng(7)
    parameters = cast("list[tuple[str, mx.array]]", tree_flatten(model.parameters()))
    weights = [
        (name, mx.array(random.standard_normal(array.shape).astype(np.float32) / 4)) for name, array in parameters
    ]
    model.update(tree_unflatten(weights))
    return model


def write_gguf(
    path: Path,
    case: ArchitectureCase,
    model: Any,
    edit: Callable[[gguf.GGUFWriter, Weights], None] | None = None,
    matrix_type: GgmlType = GgmlType.F32,
) -> None:
    """Write the file. `edit` can change metadata and tensors before anything is written."""
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[case.architecture])
    _add_sizes(writer, case)
    if case.add_metadata:
        case.add_metadata(writer)
    add_byte_tokenizer(writer)
    parameters = cast("list[tuple[str, mx.array]]", tree_flatten(model.parameters()))
    weights = case.transform({name: np.array(array) for name, array in parameters if not name.endswith("._freqs")})
    names = gguf.get_tensor_name_map(case.architecture, case.full_config["num_hidden_layers"])
    tensors = {_gguf_name(names, name): weight for name, weight in weights.items()} | dict(case.extra_tensors)
    if edit:
        edit(writer, tensors)
    for name, weight in tensors.items():
        ggml_type = matrix_type if weight.ndim > 1 else GgmlType.F32
        writer.add_tensor(name, gguf.quants.quantize(np.ascontiguousarray(weight), ggml_type), raw_dtype=ggml_type)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()


def _gguf_name(names: Any, name: str) -> str:
    gguf_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
    assert gguf_name is not None, name
    return str(gguf_name)


def _add_sizes(writer: gguf.GGUFWriter, case: ArchitectureCase) -> None:
    config = case.full_config
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if "rms_norm_eps" in config:
        writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    if "rope_theta" in config:
        writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])


def _permute_heads(weights: Weights) -> Weights:
    """`permute` in the converter, applied to q and k."""
    return {name: _permute(weight, _heads(name)) for name, weight in weights.items()}


def _heads(name: str) -> int | None:
    return HEADS if ".q_proj." in name else KV_HEADS if ".k_proj." in name else None


def _permute(weight: Array, heads: int | None) -> Array:
    if heads is None:
        return weight
    return weight.reshape(heads, 2, len(weight) // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def _add_one_to_norms(weights: Weights) -> Weights:
    return {name: weight + 1 if name.endswith("norm.weight") else weight for name, weight in weights.items()}


def _fuse_qkv(weights: Weights) -> Weights:
    """Queries, keys and values in one tensor, as in early Phi 2 files."""
    fused = {name: weight for name, weight in weights.items() if not any(f".{part}_proj." in name for part in "qkv")}
    for name in [name for name in weights if ".q_proj." in name]:
        parts = [weights[name.replace(".q_proj.", f".{part}_proj.")] for part in "qkv"]
        fused[name.replace(".q_proj.", ".qkv_proj.")] = np.concatenate(parts)
    return fused


def llama3_freqs(head_dim: int, base: float, factor: float, original: int = 8192) -> Array:
    """`generate_extra_tensors` in the converter, for Llama 3."""
    factors = []
    for index in range(0, head_dim, 2):
        wavelength = 2 * math.pi * base ** (index / head_dim)
        if wavelength < original / 4:
            factors.append(1.0)
        elif wavelength > original:
            factors.append(factor)
        else:
            smooth = (original / wavelength - 1) / 3
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(factors, np.float32)


def _linear(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(4.0)


def _yarn(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
    writer.add_rope_scaling_factor(4.0)
    writer.add_rope_scaling_orig_ctx_len(128)


def _gemma2(writer: gguf.GGUFWriter) -> None:
    writer.add_attn_logit_softcapping(2.0)
    writer.add_final_logit_softcapping(3.0)
    writer.add_sliding_window(256)


def _gemma3(writer: gguf.GGUFWriter) -> None:
    writer.add_sliding_window(8)
    _linear(writer)


def _phi2(writer: gguf.GGUFWriter) -> None:
    writer.add_layer_norm_eps(1e-4)
    writer.add_rope_dimension_count(6)


def _phi3(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_dimension_count(12)
    writer.add_rope_scaling_orig_ctx_len(CONTEXT)
    writer.add_sliding_window(0)


_LONG = [1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0]


def _phi3_long(writer: gguf.GGUFWriter) -> None:
    writer.add_rope_dimension_count(16)
    writer.add_rope_scaling_orig_ctx_len(128)
    writer.add_rope_scaling_attn_factors(math.sqrt(1 + math.log(4) / math.log(128)))
    writer.add_sliding_window(200)


def _starcoder2(writer: gguf.GGUFWriter) -> None:
    writer.add_layer_norm_eps(1e-4)


_LLAMA = {"model_type": "llama", "rms_norm_eps": 1e-4, "rope_theta": 5000.0}
_LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
_QWEN2 = {"model_type": "qwen2", "rms_norm_eps": 1e-4, "rope_theta": 5000.0}
_GEMMA = {"rms_norm_eps": 1e-4, "head_dim": 32, "rope_theta": 5000.0}
_PHI2 = {"model_type": "phi", "num_key_value_heads": HEADS, "layer_norm_eps": 1e-4, "partial_rotary_factor": 6 / 16}
_PHI3 = {"model_type": "phi3", "rms_norm_eps": 1e-4, "rope_theta": 5000.0}

CASES: dict[str, ArchitectureCase] = {
    "llama": ArchitectureCase(ARCH.LLAMA, {**_LLAMA, "tie_word_embeddings": False}, transform=_permute_heads),
    "llama with tied embeddings and an explicit head size": ArchitectureCase(
        ARCH.LLAMA, {**_LLAMA, "head_dim": 32}, transform=_permute_heads
    ),
    "llama 3": ArchitectureCase(
        ARCH.LLAMA,
        {**_LLAMA, "rope_theta": 500000.0, "rope_scaling": _LLAMA3},
        transform=_permute_heads,
        extra_tensors={"rope_freqs.weight": llama3_freqs(16, 500000.0, 8.0)},
    ),
    "deepseek-coder": ArchitectureCase(
        ARCH.LLAMA, {**_LLAMA, "rope_scaling": {"type": "linear", "factor": 4.0}}, _linear, _permute_heads
    ),
    "qwen2": ArchitectureCase(ARCH.QWEN2, {**_QWEN2, "tie_word_embeddings": False}),
    "qwen2 with yarn": ArchitectureCase(
        ARCH.QWEN2,
        {**_QWEN2, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}},
        _yarn,
    ),
    "qwen3": ArchitectureCase(
        ARCH.QWEN3, {**_QWEN2, "model_type": "qwen3", "head_dim": 32, "tie_word_embeddings": True}
    ),
    "gemma": ArchitectureCase(ARCH.GEMMA, {**_GEMMA, "model_type": "gemma"}, transform=_add_one_to_norms),
    "gemma2": ArchitectureCase(
        ARCH.GEMMA2,
        {
            **_GEMMA,
            "model_type": "gemma2",
            "query_pre_attn_scalar": 32.0,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0,
        },
        _gemma2,
        _add_one_to_norms,
    ),
    "gemma3": ArchitectureCase(
        ARCH.GEMMA3,
        {
            **_GEMMA,
            "model_type": "gemma3_text",
            "num_hidden_layers": 6,
            "query_pre_attn_scalar": 32.0,
            "sliding_window": 8,
            "rope_scaling": {"type": "linear", "factor": 4.0},
            "tie_word_embeddings": True,
        },
        _gemma3,
        _add_one_to_norms,
    ),
    "phi2": ArchitectureCase(ARCH.PHI2, _PHI2, _phi2, _fuse_qkv),
    "phi2 with separate q, k and v": ArchitectureCase(ARCH.PHI2, _PHI2, _phi2),
    "phi3": ArchitectureCase(ARCH.PHI3, {**_PHI3, "partial_rotary_factor": 12 / 16}, _phi3),
    "phi3 for long contexts": ArchitectureCase(
        ARCH.PHI3,
        {
            **_PHI3,
            "tie_word_embeddings": True,
            "original_max_position_embeddings": 128,
            "rope_scaling": {"type": "longrope", "long_factor": _LONG, "short_factor": [1.0] * 8},
        },
        _phi3_long,
        extra_tensors={
            "rope_factors_long.weight": np.array(_LONG, np.float32),
            "rope_factors_short.weight": np.ones(8, np.float32),
        },
    ),
    "starcoder2": ArchitectureCase(
        ARCH.STARCODER2,
        {"model_type": "starcoder2", "norm_epsilon": 1e-4, "rope_theta": 5000.0, "tie_word_embeddings": False},
        _starcoder2,
    ),
}
