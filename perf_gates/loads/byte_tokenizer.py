"""Writes a tokenizer with one token per byte, so that a text's length in tokens is known without a real vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

CHATML: Final = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_CONTROL_TOKENS: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_byte_tokenizer(folder: Path, *, chat_template: str | None = CHATML) -> Path:
    """Write a tokenizer whose first three tokens are the embedded model's control tokens, followed by the 256 bytes."""
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
