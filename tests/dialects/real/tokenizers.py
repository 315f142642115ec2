"""The tokenizer of a family: a real one with the family's added tokens, in memory and as a model's folder.

A real vocabulary takes a second or two to load and 100 MB to hold, and 65 families share a dozen. Each is loaded
once per process, and a family's tokenizer is such a vocabulary with the family's added tokens.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

from tokenizers import AddedToken, Tokenizer

from pensieve.models.files.atomic_folder import MANIFEST
from pensieve.models.gguf.file import open_gguf
from pensieve.models.gguf.tokenizers.build import tokenizer_files
from pensieve.models.gguf.tokenizers.vocabulary import TokenKind, vocabulary_of
from tests.dialects.real.downloads import tokenizer_folder, vocabulary_gguf
from tests.dialects.real.families import Family

_GGUF: Final = "gguf:"


@cache
def tokenizer_of(family: Family) -> Tokenizer:
    """The family's tokenizer, made with the `tokenizers` package alone. Callers must not change it."""
    shared = _with_vocabulary(family.tokenizer, family.renamed, family.max_vocabulary)
    tokenizer = Tokenizer(shared.model)
    tokenizer.normalizer = shared.normalizer
    tokenizer.pre_tokenizer = shared.pre_tokenizer
    tokenizer.decoder = shared.decoder
    if family.special is not None:  # whose templates write the first token themselves
        tokenizer.add_tokens(_replacing_tokens(family, shared))
        return tokenizer
    if shared.post_processor is not None:
        tokenizer.post_processor = shared.post_processor
    tokenizer.add_tokens(_own_tokens(family))
    return tokenizer


def write_family(folder: Path, family: Family, *, needs_transformers: bool = True) -> Path:
    """Write tokenizer.json, and tokenizer_config.json with the chat template, into a folder, made if need be.

    Without `needs_transformers` the folder is marked as made by Pensieve, so that its tokenizer loads without
    Transformers: in one second instead of five to fifteen.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": 131072,
        "eos_token": family.eos[0],
        "chat_template": family.chat_template,
    }
    if family.bos is not None:
        config["bos_token"] = family.bos
    tokenizer_of(family).save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    if not needs_transformers:
        (folder / MANIFEST).write_text(json.dumps({"format": 1, "files": {}}), encoding="utf-8")
    return folder


def _own_tokens(family: Family) -> list[AddedToken]:
    """The added tokens of the real tokenizer, as the family names them."""
    names = dict(family.renamed)
    added = sorted(_original(family.tokenizer).get_added_tokens_decoder().items())
    return [
        AddedToken(
            names.get(token_id, token.content),
            special=token.special and names.get(token_id, token.content) not in family.plain,
            **{flag: getattr(token, flag) for flag in ("single_word", "lstrip", "rstrip", "normalized")},
        )
        for token_id, token in added
        if token.content not in family.without
    ]


def _replacing_tokens(family: Family, shared: Tokenizer) -> list[AddedToken]:
    """The family's added tokens in place of the real tokenizer's own: first those that the vocabulary contains."""
    marks = [*((mark, True) for mark in family.special or ()), *((mark, False) for mark in family.plain)]
    ids = {mark: token_id for mark, _ in marks if (token_id := shared.model.token_to_id(mark)) is not None}
    marks.sort(key=lambda mark: ids.get(mark[0], sys.maxsize))
    return [AddedToken(mark, special=special, normalized=False) for mark, special in marks]


@cache
def _with_vocabulary(name: str, renamed: tuple[tuple[int, str], ...], max_vocabulary: int | None) -> Tokenizer:
    """The tokenizer of this name: itself, unless its vocabulary contains renamed tokens or is to be smaller."""
    original = _original(name)
    names = dict(renamed)
    if max_vocabulary is None and all(original.model.id_to_token(token_id) is None for token_id in names):
        return original
    content = json.loads(original.to_str())
    ids = {names.get(token_id, token): token_id for token, token_id in content["model"]["vocab"].items()}
    content["model"]["vocab"] = ids
    if max_vocabulary is not None:
        kept = sorted((token for token in ids if ids[token] < max_vocabulary or _is_basic(token)), key=ids.__getitem__)
        content["model"]["vocab"] = vocabulary = {token: token_id for token_id, token in enumerate(kept)}
        pairs = content["model"]["merges"]
        content["model"]["merges"] = [pair for pair in pairs if {*pair, "".join(pair)} <= vocabulary.keys()]
        content["post_processor"] = None  # it names tokens by their ids
    content["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(content))


def _is_basic(token: str) -> bool:
    """A character that SentencePiece would spell in bytes if the vocabulary lacked it."""
    return len(token) == 1 and (token.isascii() or token == "\u2581")


@cache
def _original(name: str) -> Tokenizer:
    """The tokenizer of this name in families.toml."""
    if name == f"{_GGUF}gemma-4":
        return Tokenizer.from_str(json.dumps(_gemma_4()))
    if name.startswith(_GGUF):
        with open_gguf(vocabulary_gguf(name.removeprefix(_GGUF))) as gguf:
            return Tokenizer.from_str(json.dumps(tokenizer_files(gguf)["tokenizer.json"]))
    return Tokenizer.from_file(str(tokenizer_folder(name) / "tokenizer.json"))


def _gemma_4() -> dict[str, Any]:
    """Gemma 3's rules with the tokens and merges of Gemma 4, from llama.cpp's vocabulary."""
    with open_gguf(vocabulary_gguf("gemma-4")) as gguf:
        vocabulary = vocabulary_of(gguf)
    gemma_3 = json.loads((tokenizer_folder("gemma3") / "tokenizer.json").read_text(encoding="utf-8"))
    unset = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        **gemma_3,
        "added_tokens": [
            {"id": token_id, "content": token, "special": True, **unset}
            for token_id, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds, strict=True))
            if kind in (TokenKind.CONTROL, TokenKind.USER_DEFINED)  # see families.toml
        ],
        "model": {
            **gemma_3["model"],
            "vocab": {token: token_id for token_id, token in enumerate(vocabulary.tokens)},
            "merges": [merge.split(" ", 1) for merge in vocabulary.list_of("merges", str)],
        },
    }
