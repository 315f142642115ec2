"""GGUF files with only a tokenizer, and texts that different tokenizers split differently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
from tokenizers import Tokenizer

from pensieve.models.gguf.file import open_gguf
from pensieve.models.gguf.tokenizers.build import tokenizer_files

TEXTS = (
    "",
    " ",
    "   ",
    "\n",
    "\n\n\n",
    "\t\tindented",
    "Hello, world!",
    " leading space",
    "trailing space ",
    "two  spaces   and more    here",
    "don't, I'LL, we've, it's",
    "def f(x: int) -> int:\n    return x + 1\n",
    'for (int i = 0; i < 10; ++i) {\n\tprintf("%d\\n", i);\n}\r\n',
    "1234567890 12 3.14159 1e-9 0xFF",
    "café cafe\u0301 naïve Straße ǅ",
    "Привет, мир! Как дела?",
    "Γειά σου Κόσμε",
    "שלום עולם",
    "مرحبا بالعالم ١٢٣",
    "नमस्ते दुनिया १२३",
    "สวัสดีชาวโลก",
    "你好，世界。今天天气很好！",
    "こんにちは世界、カタカナ",
    "안녕하세요 세계",
    "😀👍🏽👨‍👩‍👧‍👦🇫🇷",
    "zero\u200bwidth\ufeff and\u00a0no-break",
    "x² ½ Ⅷ ① ٣",
    "$+=<>^~|` (a) [b] {c} «d» “e” ‘f’",
    "aaaa aaaaa aaaaaaaa bbbbbbb",
    "HelloWorld fooBar FOOBar foo_bar_baz",
    "\u0000\u0001\u007f\u0080\u009f",
    "\U0010ffff\ue000\U0001f9ff",
    "▁ ▁▁ under",
    "<s></s><unk><0x41>",
    "https://example.org/a/b?c=d&e=%20#f",
)


def write_tokenizer(path: Path, entries: dict[str, Any], *, architecture: str = "llama") -> None:
    """Write a file with `entries` under `tokenizer.`; entries that are None are left out."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(512)
    for key, value in entries.items():
        if isinstance(value, bool):
            writer.add_bool(f"tokenizer.{key}", value)
        elif isinstance(value, str):
            writer.add_string(f"tokenizer.{key}", value)
        elif isinstance(value, int):
            writer.add_uint32(f"tokenizer.{key}", value)
        elif value is not None:
            writer.add_array(f"tokenizer.{key}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def files_of(folder: Path, entries: dict[str, Any], *, architecture: str = "llama") -> dict[str, Any]:
    """The contents of the tokenizer files that such a GGUF file converts to, by file name."""
    path = folder / "tokenizer.gguf"
    write_tokenizer(path, entries, architecture=architecture)
    with open_gguf(path) as file:
        return tokenizer_files(file)


def tokenizer_of(folder: Path, entries: dict[str, Any], *, architecture: str = "llama") -> Tokenizer:
    return Tokenizer.from_str(json.dumps(files_of(folder, entries, architecture=architecture)["tokenizer.json"]))
