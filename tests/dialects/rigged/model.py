"""A model rigged to give chosen answers, so that tests run the real mask, sampler, decoder, parser and stream.

It is a gpt2 of mlx-lm's: one layer whose attention and MLP are zero, so the embedding of a position reaches the logits
unchanged. Each token of the answers has a dimension of its own, to which the embeddings of the positions before it
point, and the embedding of the token itself, which is also the output matrix. So the model depends on positions alone,
and is written for prompts of known lengths.

If a grammar forbids the preferred token, the tokens after it rank next, then the end of the turn, then quotes and
brackets that close a text. Outside its answers the model ends the turn.
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
"""By the length of the prompt in tokens: a text, with the family's marks spelled out, or token ids."""

_POSITION_WEIGHT: Final = 1000.0
"""So large that the embedding of the input token, which is added to its position's, does not matter."""
_SCALE: Final = 8.0
"""Of the last norm, so that the preferred token is more than e^10 times as likely as all others together."""
_HIDDEN_STEP: Final = 32
"""Hidden sizes are multiples of this. Most of the time goes into the output matrix, which has a row for each token."""
_WEIGHTS: Final = (1.0, 0.25, 0.125, 0.0625)
"""The weights of the next token of an answer, and of those after it, whose sum is smaller as they may be equal."""
_END: Final = 0.06
_CLOSING: Final = 0.03
_CLOSERS: Final = ('"', '"}', "}", "]", ")", ">", "</", "\n")


def write_rigged_model(
    folder: Path, family: Family, answers: Answers, *, window_tokens: int = 8192, needs_transformers: bool = True
) -> Path:
    """Write the family's tokenizer and a model that gives these answers into a folder, over any that is there.

    Raises:
        ValueError: an answer is longer than the window, or two answers overlap.
    """
    write_family(folder, family, needs_transformers=needs_transformers)
    scripts = {length: _token_ids(family, answer) for length, answer in answers.items()}
    preferred = _preferred(scripts, window_tokens)
    tokenizer = tokenizer_of(family)
    added = {token.content: token_id for token_id, token in tokenizer.get_added_tokens_decoder().items()}
    ends = [added[token] for token in family.eos]
    vocabulary_size = max(tokenizer.get_vocab().values()) + 1
    hidden = _HIDDEN_STEP * math.ceil((len(set(preferred.values())) + 3) / _HIDDEN_STEP)
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
    tokens = _token_embeddings((vocabulary_size, hidden), preferred, ends[0], closers)
    positions = _position_embeddings((window_tokens, hidden), preferred)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").unlink(missing_ok=True)
    write_safetensors(folder / "model.safetensors", _tensors(hidden, tokens, positions))
    return folder


def _token_ids(family: Family, answer: str | Sequence[int]) -> list[int]:
    if isinstance(answer, str):
        return list(tokenizer_of(family).encode(answer, add_special_tokens=False).ids)
    return list(answer)


def _preferred(scripts: Mapping[int, Sequence[int]], window_tokens: int) -> dict[int, tuple[int, int]]:
    """By input position: the dimension of the preferred next token, and its id."""
    dimensions: dict[int, int] = {}
    preferred: dict[int, tuple[int, int]] = {}
    for length, token_ids in scripts.items():
        for position, token_id in enumerate(token_ids, length - 1):
            if position in preferred:
                raise ValueError(f"the answer to {length} tokens overlaps another one at {position}")
            preferred[position] = (dimensions.setdefault(token_id, len(dimensions)), token_id)
    if max(preferred, default=0) >= window_tokens:
        raise ValueError(f"the answers end at {max(preferred)}, beyond the window of {window_tokens} tokens")
    return preferred


# The last three dimensions stand for the end of the turn, for tokens that close a text, and for a mean of zero.
def _token_embeddings(
    shape: tuple[int, int], preferred: Mapping[int, tuple[int, int]], end: int, closers: Sequence[int]
) -> npt.NDArray[np.float16]:
    rows = np.zeros(shape, np.float16)
    for dimension, token_id in preferred.values():
        rows[token_id, dimension] = 1
    rows[end, -3] = 1
    for rank, token_id in enumerate(closers):
        rows[token_id, -2] = 1 - rank / 20
    return rows


def _position_embeddings(shape: tuple[int, int], preferred: Mapping[int, tuple[int, int]]) -> npt.NDArray[np.float16]:
    rows = np.zeros(shape, np.float32)
    rows[:, -3], rows[:, -2] = 1, _WEIGHTS[1]
    for position in preferred:
        rows[position] = 0
        rows[position, -3], rows[position, -2] = _END, _CLOSING
        for ahead, weight in enumerate(_WEIGHTS):
            if position + ahead in preferred:
                rows[position, preferred[position + ahead][0]] += weight
            elif position + ahead - 1 in preferred:
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
    return [PlannedTensor(name, "F16", array.shape, partial(_itself, array)) for name, array in given.items()]


def _itself(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return array
