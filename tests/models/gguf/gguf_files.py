"""Small GGUF files, written with the reference writer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType as GgmlType

from tests.support.tiny_model import byte_characters

HIDDEN, INNER, HEADS, KV_HEADS, HEAD_DIM, LAYERS = 64, 96, 4, 2, 16, 2
CONTROL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = len(CONTROL_TOKENS) + 256 + 1

Edit = Callable[[gguf.GGUFWriter], None]


def llama_weights(seed: int = 0) -> dict[str, npt.NDArray[np.float32]]:
    """Random weights of a tiny llama, by mlx-lm's names."""
    random = np.random.default_rng(seed)

    def matrix(*shape: int) -> npt.NDArray[np.float32]:
        return np.asarray(random.standard_normal(shape), np.float32)

    weights = {"model.embed_tokens": matrix(VOCABULARY, HIDDEN), "model.norm": matrix(HIDDEN)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}"
        weights[f"{prefix}.input_layernorm"] = matrix(HIDDEN)
        weights[f"{prefix}.self_attn.q_proj"] = matrix(HEADS * HEAD_DIM, HIDDEN)
        weights[f"{prefix}.self_attn.k_proj"] = matrix(KV_HEADS * HEAD_DIM, HIDDEN)
        weights[f"{prefix}.self_attn.v_proj"] = matrix(KV_HEADS * HEAD_DIM, HIDDEN)
        weights[f"{prefix}.self_attn.o_proj"] = matrix(HIDDEN, HEADS * HEAD_DIM)
        weights[f"{prefix}.post_attention_layernorm"] = matrix(HIDDEN)
        weights[f"{prefix}.mlp.gate_proj"] = matrix(INNER, HIDDEN)
        weights[f"{prefix}.mlp.up_proj"] = matrix(INNER, HIDDEN)
        weights[f"{prefix}.mlp.down_proj"] = matrix(HIDDEN, INNER)
    return weights


def write_llama(
    path: Path,
    *,
    kind: GgmlType = GgmlType.F16,
    kinds: dict[str, GgmlType] | None = None,
    architecture: str = "llama",
    metadata: dict[str, Any] | None = None,
    omit: tuple[str, ...] = (),
    edit: Edit | None = None,
) -> dict[str, npt.NDArray[np.float32]]:
    """Write a llama as llama.cpp's converter would: matrices of `kind`, except for those in `kinds`, and norms in f32.

    `metadata` replaces entries, and an entry that is None is left out; `omit` names tensors of the file; `edit` is
    called last. Returns the weights after quantisation, in mlx-lm's row order and by mlx-lm's names.
    """
    writer = gguf.GGUFWriter(path, architecture)
    _add_metadata(writer, metadata or {})
    written = {}
    for name, weight in llama_weights().items():
        tensor_name = gguf_name(name)
        if tensor_name in omit:
            continue
        ggml_type = (kinds or {}).get(tensor_name, kind) if weight.ndim > 1 else GgmlType.F32
        data = gguf.quants.quantize(_interleaved(name, weight), ggml_type)
        writer.add_tensor(tensor_name, data, raw_dtype=ggml_type)
        written[name] = _deinterleaved(name, gguf.quants.dequantize(data, ggml_type).reshape(weight.shape))
    if edit:
        edit(writer)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file, writer.write_tensors_to_file):
        write()
    writer.close()
    return written


def gguf_name(name: str) -> str:
    top = {"model.embed_tokens": "token_embd", "model.norm": "output_norm"}
    if name in top:
        return f"{top[name]}.weight"
    _, _, layer, *part = name.split(".")
    parts = {
        "input_layernorm": "attn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "post_attention_layernorm": "ffn_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    return f"blk.{layer}.{parts['.'.join(part)]}.weight"


def _heads(name: str) -> int:
    return {"q_proj": HEADS, "k_proj": KV_HEADS}.get(name.rpartition(".")[2], 0)


def _interleaved(name: str, weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What llama.cpp's convert_hf_to_gguf.py calls permute."""
    if not _heads(name):
        return weight
    rows, columns = weight.shape
    return weight.reshape(_heads(name), 2, HEAD_DIM // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _deinterleaved(name: str, weight: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if not _heads(name):
        return weight
    rows, columns = weight.shape
    return weight.reshape(_heads(name), HEAD_DIM // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def _add_metadata(writer: gguf.GGUFWriter, changes: dict[str, Any]) -> None:
    tokens = [*CONTROL_TOKENS, *byte_characters(), "Ġa"]
    entries: dict[str, Any] = {
        "llama.block_count": LAYERS,
        "llama.context_length": 512,
        "llama.embedding_length": HIDDEN,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.head_count_kv": KV_HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [3] * len(CONTROL_TOKENS) + [1] * 257,
        "tokenizer.ggml.merges": ["Ġ a"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        **changes,
    }
    for key, value in entries.items():
        _add(writer, key, value)


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, str):
        writer.add_string(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif value is not None:
        writer.add_array(key, value)


def add_byte_tokenizer(writer: gguf.GGUFWriter) -> None:
    """The tokenizer of `write_llama`: three control tokens, one token for each byte, and one merge."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*CONTROL_TOKENS, *byte_characters(), "Ġa"])
    writer.add_token_types([3] * len(CONTROL_TOKENS) + [1] * 257)
    writer.add_token_merges(["Ġ a"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
