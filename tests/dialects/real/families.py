"""Families of models as folders: the family's real chat template, and a real tokenizer with the family's tokens."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from pensieve.models.files.atomic_folder import MANIFEST
from pensieve.models.gguf.file import open_gguf
from pensieve.models.gguf.tokenizers.build import tokenizer_files
from pensieve.models.gguf.tokenizers.vocabulary import TokenKind, vocabulary_of
from tests.dialects.real.downloads import template, tokenizer_folder, vocabulary_gguf

Json = dict[str, Any]

_DATA: Final = Path(__file__).parent / "families.toml"
_GGUF: Final = "gguf:"


@dataclass(frozen=True, slots=True)
class Family:
    """One entry of families.toml, which says what the fields mean."""

    name: str
    template: str
    tokenizer: str
    eos: tuple[str, ...]
    flags: str
    bos: str | None = None
    renamed: tuple[tuple[int, str], ...] = ()
    without: tuple[str, ...] = ()
    special: tuple[str, ...] | None = None
    plain: tuple[str, ...] = field(default=())

    @property
    def chat_template(self) -> str:
        if self.template != "own":
            return template(self.template)
        text: str = _base_config(self.tokenizer)["chat_template"]
        return text


@cache
def families() -> tuple[Family, ...]:
    entries = tomllib.loads(_DATA.read_text(encoding="utf-8"))
    return tuple(_family(name, entry) for name, entry in entries.items())


def family(name: str) -> Family:
    return next(family for family in families() if family.name == name)


@lru_cache(4)  # each takes 100 MB
def tokenizer_of(family: Family) -> Tokenizer:
    """The family's tokenizer, by `tokenizers` alone: half a second."""
    return Tokenizer.from_str(json.dumps(tokenizer_json(family)))


def write_family(folder: Path, family: Family, *, needs_transformers: bool = True) -> Path:
    """Write tokenizer.json, and tokenizer_config.json with the chat template, into a folder, made if need be.

    Without `needs_transformers` it is marked as a folder that Pensieve made, whose tokenizer loads in a second
    instead of five to fifteen.
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
    for name, content in (("tokenizer.json", tokenizer_json(family)), ("tokenizer_config.json", config)):
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    if not needs_transformers:
        (folder / MANIFEST).write_text(json.dumps({"format": 1, "files": {}}), encoding="utf-8")
    return folder


def tokenizer_json(family: Family) -> Json:
    """The content of the family's tokenizer.json. The vocabulary is shared between families: not to be changed."""
    tokenizer = dict(_base(family.tokenizer))
    if family.special is not None:
        return _with_added(tokenizer, family)
    names = dict(family.renamed)
    vocabulary = {names.get(token_id, token): token_id for token, token_id in tokenizer["model"]["vocab"].items()}
    tokenizer["model"] = {**tokenizer["model"], "vocab": vocabulary}
    tokenizer["added_tokens"] = [
        _renamed(token, names, family) for token in tokenizer["added_tokens"] if token["content"] not in family.without
    ]
    return tokenizer


def _renamed(token: Json, names: dict[int, str], family: Family) -> Json:
    content = names.get(token["id"], token["content"])
    return {**token, "content": content, "special": token["special"] and content not in family.plain}


def _with_added(tokenizer: Json, family: Family) -> Json:
    """The tokenizer with the family's added tokens in place of its own."""
    own = {token["content"] for token in tokenizer["added_tokens"]}
    kept = [(token, token_id) for token, token_id in tokenizer["model"]["vocab"].items() if token not in own]
    marks = [*((mark, True) for mark in family.special or ()), *((mark, False) for mark in family.plain)]
    next_id = max(token_id for _, token_id in kept) + 1
    added = [_added(next_id + index, mark, special=special) for index, (mark, special) in enumerate(marks)]
    vocabulary = dict(kept)
    unknown = tokenizer["model"].get("unk_token")
    if unknown is not None:  # SentencePiece's own three stay where they are
        vocabulary = dict(tokenizer["model"]["vocab"])
        added = [{**token, "id": vocabulary.get(token["content"], token["id"])} for token in added]
    return {
        **tokenizer,
        "added_tokens": sorted(added, key=lambda token: token["id"]),
        "post_processor": None,  # the templates write the first token themselves
        "model": {**tokenizer["model"], "vocab": vocabulary},
    }


def _added(token_id: int, content: str, *, special: bool) -> Json:
    unset = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token_id, "content": content, "special": special, **unset}


@cache
def _base(name: str) -> Json:
    if name == f"{_GGUF}gemma-4":
        return _gemma_4()
    if name.startswith(_GGUF):
        with open_gguf(vocabulary_gguf(name.removeprefix(_GGUF))) as gguf:
            return tokenizer_files(gguf)["tokenizer.json"]
    tokenizer: Json = json.loads((tokenizer_folder(name) / "tokenizer.json").read_text(encoding="utf-8"))
    return tokenizer


def _base_config(name: str) -> Json:
    config: Json = json.loads((tokenizer_folder(name) / "tokenizer_config.json").read_text(encoding="utf-8"))
    return config


def _gemma_4() -> Json:
    """Gemma 3's rules with the tokens and merges of Gemma 4, which llama.cpp's vocabulary has."""
    with open_gguf(vocabulary_gguf("gemma-4")) as gguf:
        vocabulary = vocabulary_of(gguf)
    tokenizer = _base("gemma3")
    return {
        **tokenizer,
        "added_tokens": [
            _added(token_id, token, special=True)
            for token_id, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds, strict=True))
            if kind in (TokenKind.CONTROL, TokenKind.USER_DEFINED)  # see families.toml
        ],
        "model": {
            **tokenizer["model"],
            "vocab": {token: token_id for token_id, token in enumerate(vocabulary.tokens)},
            "merges": [merge.split(" ", 1) for merge in vocabulary.list_of("merges", str)],
        },
    }


def _family(name: str, entry: Json) -> Family:
    fields: Json = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    fields["renamed"] = tuple((int(token_id), token) for token_id, token in entry.get("renamed", {}).items())
    return Family(name=name, **fields)
