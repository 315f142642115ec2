"""Hugging Face's tokenizer.json and tokenizer_config.json from the tokenizer in a GGUF file's metadata.

Two kinds are supported: byte-level BPE ("gpt2", in this module) and SentencePiece's BPE ("llama", in `sentencepiece`).
"""

from __future__ import annotations

import json
from typing import Any, Final

from tokenizers import Tokenizer

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf.file import GgufFile
from pensieve.models.gguf.tokenizers.pre_tokenizers import DEFAULT_PRE_TOKENIZERS, PRE_TOKENIZERS, Json, byte_level
from pensieve.models.gguf.tokenizers.sentencepiece import sentencepiece_tokenizer
from pensieve.models.gguf.tokenizers.vocabulary import TokenKind, Vocabulary, vocabulary_of

_KINDS: Final = ("gpt2", "llama")
_CHAT_TEMPLATE_KEY: Final = "tokenizer.chat_template"


def tokenizer_files(gguf: GgufFile) -> dict[str, Json]:
    """The contents of tokenizer.json and tokenizer_config.json, by file name.

    Raises:
        ModelLoadingError: the tokenizer's kind is not supported, or its metadata is incomplete or damaged.
    """
    path = str(gguf.path)
    architecture = str(gguf.metadata.get("general.architecture"))
    kind = gguf.metadata.get("tokenizer.ggml.model")
    if kind not in _KINDS:
        supported = " and ".join(map(repr, _KINDS))
        raise ModelLoadingError(path, f"tokenizer.ggml.model is {kind!r:.40}; supported are {supported}")
    vocabulary = vocabulary_of(gguf)
    if kind == "gpt2":
        tokenizer = _byte_level_bpe(vocabulary, architecture)
    else:
        tokenizer = sentencepiece_tokenizer(vocabulary, architecture)
    _require_buildable(tokenizer, vocabulary)
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": _config(vocabulary, architecture)}


def _byte_level_bpe(vocabulary: Vocabulary, architecture: str) -> Json:
    name = vocabulary.metadata.get("tokenizer.ggml.pre", DEFAULT_PRE_TOKENIZERS.get(architecture, "default"))
    if not isinstance(name, str) or name not in PRE_TOKENIZERS:
        supported = ", ".join(PRE_TOKENIZERS)
        raise ModelLoadingError(vocabulary.path, f"tokenizer.ggml.pre is {name!r:.40}; supported are {supported}")
    pre_tokenizer = PRE_TOKENIZERS[name]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": vocabulary.added_tokens(frozenset({TokenKind.CONTROL})),
        "normalizer": pre_tokenizer.normalizer,
        "pre_tokenizer": pre_tokenizer.pre_tokenizer,
        "post_processor": vocabulary.post_processor(adds_bos=pre_tokenizer.adds_bos),
        "decoder": byte_level(use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": pre_tokenizer.ignore_merges,
            "vocab": {token: token_id for token_id, token in enumerate(vocabulary.tokens)},
            "merges": [merge.split(" ", 1) for merge in vocabulary.list_of("merges", str)],
        },
    }


def _config(vocabulary: Vocabulary, architecture: str) -> Json:
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": vocabulary.metadata.get(f"{architecture}.context_length"),
        "bos_token": vocabulary.named("bos"),
        "eos_token": vocabulary.named("eos"),
        "unk_token": vocabulary.named("unknown"),
        "pad_token": vocabulary.named("padding"),
        "chat_template": _chat_template(vocabulary),
    }
    return {key: value for key, value in config.items() if value is not None}


def _chat_template(vocabulary: Vocabulary) -> str | list[dict[str, str]] | None:
    """The file's template, or Hugging Face's list if there are named ones, with the first as fallback default."""
    templates: dict[str, Any] = {}
    if _CHAT_TEMPLATE_KEY in vocabulary.metadata:
        templates["default"] = vocabulary.metadata[_CHAT_TEMPLATE_KEY]
    for key in vocabulary.metadata:
        if key.startswith(f"{_CHAT_TEMPLATE_KEY}."):
            templates.setdefault(key.removeprefix(f"{_CHAT_TEMPLATE_KEY}."), vocabulary.metadata[key])
    for name, template in templates.items():
        if not isinstance(template, str):
            raise vocabulary.damaged(f"the chat template {name!r:.40} is not a string")
    if not templates:
        return None
    templates = {"default": next(iter(templates.values())), **templates}
    if len(templates) == 1:
        return str(templates["default"])
    return [{"name": name, "template": template} for name, template in templates.items()]


def _require_buildable(tokenizer: Json, vocabulary: Vocabulary) -> None:
    """Build the tokenizer once, so that an inconsistent vocabulary is refused before anything is written.

    Raises:
        ModelLoadingError: the `tokenizers` library rejects it.
    """
    try:
        Tokenizer.from_str(json.dumps(tokenizer))
    except Exception as error:  # `tokenizers` raises plain exceptions
        raise vocabulary.damaged(f"{error!s:.200}") from error
