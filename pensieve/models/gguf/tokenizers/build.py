"""The tokenizer that a GGUF file describes in its metadata, as Hugging Face's tokenizer.json and tokenizer_config.json.

Two kinds are built: byte-level BPE ("gpt2"), and SentencePiece's BPE ("llama", in `gguf_sentencepiece`).
"""

from __future__ import annotations

import json
from typing import Any, Final

from tokenizers import Tokenizer

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf.file import GgufFile
from pensieve.models.gguf.tokenizers.pre_tokenizers import CUTTINGS, UNNAMED, Json, byte_level
from pensieve.models.gguf.tokenizers.sentencepiece import sentencepiece_tokenizer
from pensieve.models.gguf.tokenizers.vocabulary import TokenKind, Vocabulary, vocabulary_of

_KINDS: Final = ("gpt2", "llama")
_TEMPLATE: Final = "tokenizer.chat_template"


def tokenizer_files(gguf: GgufFile) -> dict[str, Json]:
    """The JSON objects of tokenizer.json and tokenizer_config.json, by file name.

    Raises:
        ModelLoadingError: the tokenizer is of a kind that cannot be built, or described incompletely.
    """
    path = str(gguf.path)
    architecture = str(gguf.metadata.get("general.architecture"))
    kind = gguf.metadata.get("tokenizer.ggml.model")
    if kind not in _KINDS:
        known = " and ".join(map(repr, _KINDS))
        raise ModelLoadingError(path, f"its tokenizer is of the kind {kind!r:.40}; only {known} can be built")
    vocabulary = vocabulary_of(gguf)
    if kind == "gpt2":
        tokenizer = _byte_level_bpe(vocabulary, architecture)
    else:
        tokenizer = sentencepiece_tokenizer(vocabulary, architecture)
    _require_buildable(tokenizer, vocabulary)
    return {"tokenizer.json": tokenizer, "tokenizer_config.json": _config(vocabulary, architecture)}


def _byte_level_bpe(vocabulary: Vocabulary, architecture: str) -> Json:
    pre = vocabulary.metadata.get("tokenizer.ggml.pre", UNNAMED.get(architecture, "default"))
    if not isinstance(pre, str) or pre not in CUTTINGS:
        known = ", ".join(CUTTINGS)
        raise ModelLoadingError(vocabulary.path, f"its tokenizer cuts text by {pre!r:.40}; known are {known}")
    cutting = CUTTINGS[pre]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": vocabulary.added_tokens(frozenset({TokenKind.CONTROL})),
        "normalizer": cutting.normalizer,
        "pre_tokenizer": cutting.pre_tokenizer,
        "post_processor": vocabulary.post_processor(adds_bos=cutting.adds_bos),
        "decoder": byte_level(use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": cutting.ignore_merges,
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
    """The file's template, or several by their names in the form of Hugging Face's list; the first is the default."""
    templates: dict[str, Any] = {}
    if _TEMPLATE in vocabulary.metadata:
        templates["default"] = vocabulary.metadata[_TEMPLATE]
    for key in vocabulary.metadata:
        if key.startswith(f"{_TEMPLATE}."):
            templates.setdefault(key.removeprefix(f"{_TEMPLATE}."), vocabulary.metadata[key])
    for name, template in templates.items():
        if not isinstance(template, str):
            raise vocabulary.damaged(f"the chat template {name!r:.40} is no text")
    if not templates:
        return None
    templates = {"default": next(iter(templates.values())), **templates}
    if len(templates) == 1:
        return str(templates["default"])
    return [{"name": name, "template": template} for name, template in templates.items()]


def _require_buildable(tokenizer: Json, vocabulary: Vocabulary) -> None:
    """Build it once, so that a vocabulary that does not hold together is refused before anything is written.

    Raises:
        ModelLoadingError: it cannot be built.
    """
    try:
        Tokenizer.from_str(json.dumps(tokenizer))
    except Exception as error:  # what `tokenizers` raises is no more than that
        raise vocabulary.damaged(f"{error!s:.200}") from error
