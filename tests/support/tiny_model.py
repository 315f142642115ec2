"""Models of mlx-lm's form made from random numbers: thousands of tokens a second, and greedy output that repeats."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import embedded_folder
from pensieve.models.safetensors.file import PlannedTensor, write_safetensors

TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json")
CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CONTROL_TOKENS: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_tiny_model(folder: Path, *, tokenizer_folder: Path | None = None, seed: int = 0, **overrides: Any) -> Path:
    """Write a llama of 2 layers and hidden size 64 into a folder, made if need be; the folder.

    The tokenizer is that of `tokenizer_folder`, else of the embedded model, which is fetched if it is not there.
    `overrides` are keys of config.json; None leaves one out. Equal arguments give equal bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer_folder = tokenizer_folder or embedded_folder(ConsoleProgress())
    for name in TOKENIZER_FILES:
        if tokenizer_folder != folder:
            shutil.copyfile(tokenizer_folder / name, folder / name)
    config = _config(overrides)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_safetensors(folder / "model.safetensors", list(_tensors(config, np.random.default_rng(seed))))
    return folder


def write_byte_tokenizer(folder: Path, *, chat_template: str | None = CHATML) -> Path:
    """A tokenizer of one token a byte after three control tokens, as in the embedded model, into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = [*_CONTROL_TOKENS, *byte_characters()]
    pre_tokenizer = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    tokenizer = {
        "version": "1.0",
        "added_tokens": [_control_token(token_id, token) for token_id, token in enumerate(_CONTROL_TOKENS)],
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": pre_tokenizer,
        "model": {"type": "BPE", "vocab": {token: index for index, token in enumerate(tokens)}, "merges": []},
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "chat_template": chat_template,
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def byte_characters() -> list[str]:
    """The printable stand-in of each byte from 0 to 255 in byte-level BPE (GPT-2's bytes_to_unicode)."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    stand_ins = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(stand_ins)) for byte in range(256)]


def _control_token(token_id: int, content: str) -> dict[str, object]:
    unset = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token_id, "content": content, "special": True, **unset}


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
        "vocab_size": 49152,
        "tie_word_embeddings": False,  # tied random embeddings say their input again and again
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
    """Matrices that keep the size of what they multiply, and norms that change nothing."""
    if len(shape) == 1:
        return np.ones(shape, np.float16)
    numbers = random.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[-1]))
    return np.asarray(numbers, np.float16)
