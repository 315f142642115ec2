"""Tokenises text without the interpreter's lock, so that streams go on meanwhile.

`Tokenizer.encode` of `tokenizers` holds the lock until it returns: a second per 1.5 MB. `encode_batch` releases it, and
gives the same tokens.
"""

from __future__ import annotations

from array import array
from typing import Any


def encode(backend: Any, text: str, *, add_special_tokens: bool = False) -> list[int]:
    """The token ids of a text. `backend` is a `tokenizers.Tokenizer`."""
    return list(_encoding(backend.encode_batch_fast, text, add_special_tokens=add_special_tokens).ids)


def encode_with_ends(backend: Any, text: str) -> tuple[array[int], array[int]]:
    """The token ids, and the character offsets at which they end."""
    encoding = _encoding(backend.encode_batch, text, add_special_tokens=False)
    # One call for each token lets other threads run in between; `encoding.offsets` makes all pairs at once.
    ends = array("I", (encoding.token_to_chars(index)[1] for index in range(len(encoding))))
    return array("I", encoding.ids), ends


def count(backend: Any, text: str) -> int:
    return len(_encoding(backend.encode_batch_fast, text, add_special_tokens=False))


def _encoding(encode_batch: Any, text: str, *, add_special_tokens: bool) -> Any:
    return encode_batch([text], add_special_tokens=add_special_tokens)[0]
