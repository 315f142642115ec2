"""A model that wants to say given texts, so that mask, sampler, decoder, parser and stream are the real ones.

Its folder is of mlx-lm's type gpt2: one layer whose attention and MLP are zero, so that what a position's embedding
says reaches the logits as it is. Each token of an answer has a dimension of its own. The embedding of the position
before it points there, and so does the embedding of the token itself, which is also the output matrix. The model
therefore depends on positions alone, and is written for prompts of known lengths.

Where a grammar forbids the wanted token, the ones after it come next, then the end of the turn, then what closes a
text: quotes and brackets. Outside its answers it wants the end of the turn.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pensieve.models.safetensors.file import PlannedTensor, write_safetensors
from tests.dialects.real.families import Family
from tests.dialects.real.tokenizers import tokenizer_of, write_family

Answers = Mapping[int, str | Sequence[int]]
"""What to say after a prompt of so many tokens: a text in which the family's marks are spelt out, or token ids."""

_POSITION_WEIGHT: Final = 1000.0
"""Far above the embedding of an input token, which is added to that of its position."""
_SCALE: Final = 8.0
"""Of the last norm: the wanted token is more than e^10 times as likely as all others together."""
_HIDDEN_STEP: Final = 128
"""Hidden sizes are multiples of this, so that folders with other answers mostly have the same config.json: what was
found out of a tokenizer is kept by the files beside it.
"""
_WANTED: Final = (1.0, 0.25, 0.125, 0.0625)
"""How much a position wants the next token of its answer, and those after it: less in all, since they may be one."""
_END: Final = 0.06
_CLOSING: Final = 0.03
_CLOSERS: Final = ('"', '"}', "}", "]", ")", ">", "</", "\n")


def write_rigged_model(
    folder: Path, family: Family, answers: Answers, *, window_tokens: int = 8192, needs_transformers: bool = True
) -> Path:
    """Write the family's tokenizer and a model that wants these answers into a folder, in place of one that is there.

    Raises:
        ValueError: an answer is longer than the window, or two answers want different tokens at one position.
    """
    write_family(folder, family, needs_transformers=needs_transformers)
    scripts = {length: _token_ids(family, said) for length, said in answers.items()}
    wanted = _wanted(scripts, window_tokens)
    tokenizer = tokenizer_of(family)
    added = {token.content: token_id for token_id, token in tokenizer.get_added_tokens_decoder().items()}
    ends = [added[token] for token in family.eos]
    vocabulary_size = max(tokenizer.get_vocab().values()) + 1
    hidden = _HIDDEN_STEP * math.ceil((len(wanted) + 3) / _HIDDEN_STEP)
    config = {
        "model_type": "gpt2",
        "n_ctx": window_tokens,
        "n_positions": window_tokens,
        "n_embd": hidden,
        "n_head": 1,
        "n_layer": 1,
        "layer_norm_epsilon": 1e-5,
        "vocab_size": vocabulary_size,
        "eos_token_id": ends,
    }
    closers = [token_id for text in _CLOSERS if (token_id := tokenizer.token_to_id(text)) is not None]
    tokens = _token_embeddings((vocabulary_size, hidden), wanted, ends[0], closers)
    positions = _position_embeddings((window_tokens, hidden), wanted)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").unlink(missing_ok=True)
    write_safetensors(folder / "model.safetensors", _tensors(hidden, tokens, positions))
    return folder


def _token_ids(family: Family, said: str | Sequence[int]) -> list[int]:
    return tokenizer_of(family).encode(said, add_special_tokens=False).ids if isinstance(said, str) else list(said)


def _wanted(scripts: Mapping[int, Sequence[int]], window_tokens: int) -> dict[int, tuple[int, int]]:
    """By the position of the input: the dimension of the token that is wanted next, and that token."""
    wanted: dict[int, tuple[int, int]] = {}
    for length, token_ids in scripts.items():
        for position, token_id in enumerate(token_ids, length - 1):
            if position in wanted:
                raise ValueError(f"the answer to {length} tokens begins inside of another one, at {position}")
            wanted[position] = (len(wanted), token_id)
    if max(wanted, default=0) >= window_tokens:
        raise ValueError(f"the answers end at {max(wanted)}, beyond the window of {window_tokens} tokens")
    return wanted


# The last three dimensions are for the end of the turn, for what closes a text, and for a mean of zero.
def _token_embeddings(
    shape: tuple[int, int], wanted: Mapping[int, tuple[int, int]], end: int, closers: Sequence[int]
) -> npt.NDArray[np.float16]:
    rows = np.zeros(shape, np.float16)
    for dimension, token_id in wanted.values():
        rows[token_id, dimension] = 1
    rows[end, -3] = 1
    for rank, token_id in enumerate(closers):
        rows[token_id, -2] = 1 - rank / 20
    return rows


def _position_embeddings(shape: tuple[int, int], wanted: Mapping[int, tuple[int, int]]) -> npt.NDArray[np.float16]:
    rows = np.zeros(shape, np.float32)
    rows[:, -3], rows[:, -2] = 1, _WANTED[1]
    for position in wanted:
        rows[position] = 0
        rows[position, -3], rows[position, -2] = _END, _CLOSING
        for ahead, weight in enumerate(_WANTED):
            if position + ahead in wanted:
                rows[position, wanted[position + ahead][0]] = weight
            elif position + ahead - 1 in wanted:
                rows[position, -3] = weight
    rows[:, -1] = -rows.sum(axis=1)
    return np.asarray(rows * _POSITION_WEIGHT, np.float16)


def _tensors(hidden: int, tokens: npt.NDArray[np.float16], positions: npt.NDArray[np.float16]) -> list[PlannedTensor]:
    zero: dict[str, tuple[int, ...]] = {
        "h.0.attn.c_attn.weight": (hidden, 3 * hidden),
        "h.0.attn.c_attn.bias": (3 * hidden,),
        "h.0.attn.c_proj.weight": (hidden, hidden),
        "h.0.attn.c_proj.bias": (hidden,),
        "h.0.mlp.c_fc.weight": (hidden, 4 * hidden),
        "h.0.mlp.c_fc.bias": (4 * hidden,),
        "h.0.mlp.c_proj.weight": (4 * hidden, hidden),
        "h.0.mlp.c_proj.bias": (hidden,),
        "h.0.ln_1.bias": (hidden,),
        "h.0.ln_2.bias": (hidden,),
        "ln_f.bias": (hidden,),
    }
    given: dict[str, npt.NDArray[Any]] = {
        "wte.weight": tokens,
        "wpe.weight": positions,
        "h.0.ln_1.weight": np.ones(hidden, np.float16),
        "h.0.ln_2.weight": np.ones(hidden, np.float16),
        "ln_f.weight": np.full(hidden, _SCALE, np.float16),
    }
    given |= {name: np.zeros(shape, np.float16) for name, shape in zero.items()}
    return [PlannedTensor(name, "F16", array.shape, partial(_same, array)) for name, array in given.items()]


def _same(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array
