"""A model that answers with the mark that its prompt contains, wherever that is, and ends: attention over real KV.

It is a gpt2 of mlx-lm's with one layer and weights chosen by hand. The query is the same at every position and matches
the keys of marks alone; the value of a mark points to its own token. After a mark, the MLP ends the turn.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pensieve.models.safetensors.file import PlannedTensor, write_safetensors
from tests.support.tiny_model import byte_characters, write_byte_tokenizer

MARKS: Final = ("~", "^")
WINDOW_TOKENS: Final = 4096

_HIDDEN: Final = 128
_INPUT, _OUTPUT = 0, 8
"""The first of one dimension for each mark: the mark as a token of the prompt, and as the answer."""
_IS_MARK, _CONSTANT, _END = 16, 17, 18
_NUM_CONTROL_TOKENS: Final = 3
_END_TOKEN: Final = 2

Array = npt.NDArray[np.float16]


def write_recalling_model(folder: Path) -> Path:
    write_byte_tokenizer(folder)
    vocabulary_size = _NUM_CONTROL_TOKENS + 256
    config = {
        "model_type": "gpt2",
        "n_ctx": WINDOW_TOKENS,
        "n_positions": WINDOW_TOKENS,
        "n_embd": _HIDDEN,
        "n_head": 1,
        "n_layer": 1,
        "layer_norm_epsilon": 1e-5,
        "vocab_size": vocabulary_size,
        "eos_token_id": _END_TOKEN,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    write_safetensors(folder / "model.safetensors", [_planned(*each) for each in _weights(vocabulary_size).items()])
    return folder


def _planned(name: str, array: Array) -> PlannedTensor:
    return PlannedTensor(name, "F16", array.shape, partial(_itself, array))


def _itself(array: Array) -> Array:
    return array


def _weights(vocabulary_size: int) -> dict[str, Array]:
    tokens, positions = _zeros(vocabulary_size, _HIDDEN), _zeros(WINDOW_TOKENS, _HIDDEN)
    positions[:, _CONSTANT] = 1
    tokens[_END_TOKEN, _END] = 1
    for number, mark in enumerate(MARKS):
        token_id = _NUM_CONTROL_TOKENS + byte_characters().index(mark)
        tokens[token_id, [_INPUT + number, _OUTPUT + number, _IS_MARK]] = 1
    attention, query, projection = _zeros(_HIDDEN, 3 * _HIDDEN), _zeros(3 * _HIDDEN), _zeros(_HIDDEN, _HIDDEN)
    query[0] = 100  # the same query everywhere
    attention[_IS_MARK, _HIDDEN] = 1  # the key of a mark
    for number in range(len(MARKS)):
        attention[_INPUT + number, 2 * _HIDDEN + number] = 1  # the value of a mark
        projection[number, _OUTPUT + number] = 1
    inner, outer = _zeros(_HIDDEN, 4 * _HIDDEN), _zeros(4 * _HIDDEN, _HIDDEN)
    inner[_IS_MARK, 0], outer[0, _END] = 1, 50
    return {
        "wte.weight": tokens,
        "wpe.weight": positions,
        "h.0.attn.c_attn.weight": attention,
        "h.0.attn.c_attn.bias": query,
        "h.0.attn.c_proj.weight": projection,
        "h.0.attn.c_proj.bias": _zeros(_HIDDEN),
        "h.0.mlp.c_fc.weight": inner,
        "h.0.mlp.c_fc.bias": _zeros(4 * _HIDDEN),
        "h.0.mlp.c_proj.weight": outer,
        "h.0.mlp.c_proj.bias": _zeros(_HIDDEN),
        **{f"{norm}.weight": np.ones(_HIDDEN, np.float16) for norm in ("h.0.ln_1", "h.0.ln_2", "ln_f")},
        **{f"{norm}.bias": _zeros(_HIDDEN) for norm in ("h.0.ln_1", "h.0.ln_2", "ln_f")},
    }


def _zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float16)
