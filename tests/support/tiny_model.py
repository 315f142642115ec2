"""Writes small models with random weights: thousands of tokens per second, and repetitive greedy output."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import embedded_folder
from pensieve.models.safetensors.file import PlannedTensor, write_safetensors
from perf_gates.loads.byte_tokenizer import CHATML, byte_characters, write_byte_tokenizer

__all__ = ["CHATML", "TOKENIZER_FILES", "byte_characters", "write_byte_tokenizer", "write_tiny_model"]

TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json")
EMBEDDED_VOCABULARY: Final = 49152


def write_tiny_model(folder: Path, *, tokenizer_folder: Path | None = None, seed: int = 0, **overrides: Any) -> Path:
    """Write a llama with 2 layers and hidden size 64 into `folder`, and return the folder.

    The tokenizer is copied from `tokenizer_folder`. By default it has the first `vocab_size` tokens of the embedded
    model's, which is downloaded if necessary. `overrides` replace keys of config.json, and None removes a key. Equal
    arguments give equal bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = _config(overrides)
    if tokenizer_folder is None:
        _write_embedded_tokenizer(folder, config["vocab_size"])
    elif tokenizer_folder != folder:
        for name in TOKENIZER_FILES:
            shutil.copyfile(tokenizer_folder / name, folder / name)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_safetensors(folder / "model.safetensors", list(_tensors(config, np.random.default_rng(seed))))
    return folder


def _write_embedded_tokenizer(folder: Path, vocab_size: int) -> None:
    embedded = embedded_folder(ConsoleProgress())
    settings, tokenizer = "tokenizer_config.json", "tokenizer.json"
    shutil.copyfile(embedded / settings, folder / settings)
    (folder / tokenizer).write_text(_first_tokens(embedded / tokenizer, vocab_size), encoding="utf-8")


@cache
def _first_tokens(path: Path, vocab_size: int) -> str:
    """The tokenizer with only its first ids, which are its control tokens, the bytes, and the most frequent merges."""
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    model = tokenizer["model"]
    model["vocab"] = {token: token_id for token, token_id in model["vocab"].items() if token_id < vocab_size}
    model["merges"] = [pair for pair in model["merges"] if "".join(pair) in model["vocab"]]
    return json.dumps(tokenizer, ensure_ascii=False)


def _config(overrides: dict[str, Any]) -> dict[str, Any]:
    config = {
        "model_type": "llama",
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "intermediate_size": 128,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": 2048,
        "vocab_size": 4096,  # a real one makes each start of an engine 0.4 s longer
        "tie_word_embeddings": False,  # with tied random embeddings the model repeats its input
        "eos_token_id": 2,
        **overrides,
    }
    return {key: value for key, value in config.items() if value is not None}


def _tensors(config: dict[str, Any], random: np.random.Generator) -> Iterator[PlannedTensor]:
    for name, shape in _shapes(config):
        yield PlannedTensor(name, "F16", shape, partial(_random_or_ones, shape, random))


def _shapes(config: dict[str, Any]) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    heads, kv_heads = (config[key] * config["head_dim"] for key in ("num_attention_heads", "num_key_value_heads"))
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        yield f"{at}.input_layernorm.weight", (hidden,)
        yield f"{at}.self_attn.q_proj.weight", (heads, hidden)
        yield f"{at}.self_attn.k_proj.weight", (kv_heads, hidden)
        yield f"{at}.self_attn.v_proj.weight", (kv_heads, hidden)
        yield f"{at}.self_attn.o_proj.weight", (hidden, heads)
        yield f"{at}.post_attention_layernorm.weight", (hidden,)
        yield f"{at}.mlp.gate_proj.weight", (inner, hidden)
        yield f"{at}.mlp.up_proj.weight", (inner, hidden)
        yield f"{at}.mlp.down_proj.weight", (hidden, inner)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (vocabulary, hidden)


def _random_or_ones(shape: tuple[int, ...], random: np.random.Generator) -> npt.NDArray[np.float16]:
    """Matrices that preserve the magnitude of their input, and norms of ones."""
    if len(shape) == 1:
        return np.ones(shape, np.float16)
    numbers = random.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[-1]))
    return np.asarray(numbers, np.float16)
