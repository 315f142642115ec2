"""Small tokenizers of every kind that models use."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tokenizers import Tokenizer

from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import embedded_folder
from tests.support.tiny_model import write_byte_tokenizer

WORDS = ("▁Hello", "▁world", "▁", "▁▁", "Hello", ",", ".", "\n", "é", "▁é", "猫", "<tool>")


@cache
def embedded() -> Tokenizer:
    """The embedded model's: byte-level BPE with 49,152 tokens."""
    return Tokenizer.from_file(str(embedded_folder(ConsoleProgress()) / "tokenizer.json"))


@cache
def one_token_a_byte() -> Tokenizer:
    with TemporaryDirectory() as folder:
        write_byte_tokenizer(Path(folder))
        return Tokenizer.from_file(f"{folder}/tokenizer.json")


@cache
def sentence_piece() -> Tokenizer:
    """Like Llama 2's: ▁ for a space, a token for every byte, and decoding drops the first space of a text."""
    return _from_vocabulary(
        [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]
    )


@cache
def metaspace() -> Tokenizer:
    """Like newer conversions of SentencePiece models."""
    return _from_vocabulary(
        [
            {"type": "ByteFallback"},
            {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False},
        ]
    )


def _from_vocabulary(decoders: list[dict[str, object]]) -> Tokenizer:
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *WORDS]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    special = [{"id": index, "content": tokens[index], "special": True, **flags} for index in range(3)]
    tool = {"id": tokens.index("<tool>"), "content": "<tool>", "special": False, **flags}
    return Tokenizer.from_str(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [*special, tool],
                "normalizer": None,
                "pre_tokenizer": None,
                "post_processor": None,
                "decoder": {"type": "Sequence", "decoders": decoders},
                "model": {
                    "type": "BPE",
                    "vocab": {token: index for index, token in enumerate(tokens)},
                    "merges": [],
                    "unk_token": "<unk>",
                    "byte_fallback": True,
                },
            }
        )
    )
