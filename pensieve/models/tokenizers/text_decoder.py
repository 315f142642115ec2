"""Tokens to text, one at a time, losing nothing (S5).

mlx-lm's detokenizer for byte-level BPE drops a leading space, and `tokenizers`' own DecodeStream raises
on byte runs that are no UTF-8 and has no way to say what it still holds, so the decoding is done here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_REPLACEMENT = "\ufffd"
_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")


class TextDecoder:
    """The text of a growing sequence of token ids.

    What the steps and the finish return adds up to exactly `decode(all ids, skip_special_tokens=True)` of the
    tokenizer's own decoder, without the cosmetic "clean-up" of spaces that some tokenizers add after it, which would
    spoil code.

    A step decodes only the tokens since the last text, with the tokens of that text before them as context: decoders
    of the SentencePiece family treat the first token of a sequence unlike the others. Text is held back while a later
    token may still change it: it ends in the middle of a character, or in a run of byte tokens (`<0xE2>`), which is
    decoded as a whole or not at all.
    """

    def __init__(self, tokenizer: Any, marks: Mapping[int, str] | None = None) -> None:
        """`tokenizer` is a `tokenizers.Tokenizer`, or a Transformers tokenizer, wrapped by mlx-lm or not.

        `marks` are the characters that stand for tokens of a dialect, by their ids (`pensieve.core.dialects.marks`).
        Only those tokens become these characters: in a text that spells one, it is replaced.
        """
        self._marks = marks or {}
        self._spelled = re.compile("|".join(map(re.escape, self._marks.values()))) if self._marks else None
        backend = getattr(tokenizer, "backend_tokenizer", None) or tokenizer
        self._decode: Callable[[list[int]], str]
        if hasattr(backend, "get_added_tokens_decoder"):
            self._decode = backend.decode
            self._token_of: Callable[[int], str | None] = backend.id_to_token
            added = backend.get_added_tokens_decoder()
            self._special_ids = frozenset(token_id for token_id, token in added.items() if token.special)
        else:
            self._decode = lambda ids: str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
            self._token_of = tokenizer.convert_ids_to_tokens
            self._special_ids = frozenset(tokenizer.all_special_ids)
        self._context: list[int] = []
        self._context_length = 0
        self._held: list[int] = []

    def step(self, token_id: int) -> str:
        """Take the next token; the text that is now certain, often ''. An id the tokenizer lacks has no text."""
        if token_id in self._marks:
            text = self.finish() + self._marks[token_id]
            self._context, self._context_length = [], 0
            return text
        token = None if token_id in self._special_ids else self._token_of(token_id)
        if token is None:
            return ""
        self._held.append(token_id)
        if _BYTE_TOKEN.fullmatch(token):
            return ""
        text = self._decode(self._context + self._held)
        return "" if text.endswith(_REPLACEMENT) else self._emit(text)

    def finish(self) -> str:
        """The text that was still held back; an unfinished character comes as U+FFFD."""
        return self._emit(self._decode(self._context + self._held)) if self._held else ""

    def _emit(self, text: str) -> str:
        new_text = text[self._context_length :]
        if new_text:
            self._context, self._held = self._held, []
            self._context_length = len(self._decode(self._context))
        return new_text if self._spelled is None else self._spelled.sub(_REPLACEMENT, new_text)
