"""Decodes tokens to text one at a time without losing anything (S5).

Existing decoders do not suffice: mlx-lm's detokenizer for byte-level BPE drops a leading space, and `tokenizers`'
DecodeStream raises on bytes that are not UTF-8 and cannot return the text that it still holds back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_REPLACEMENT = "\ufffd"
_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_MAX_PENDING = 16
"""Tokens that end within a character. A model may write any number of bytes that are none."""
_OPEN_TOKENS = range(4, 8)
"""How many of them a later one may change: a character has four bytes. It begins at one of four tokens in a row."""


class TextDecoder:
    """The text of a growing sequence of token ids.

    The results of all `step` calls and `finish` add up to exactly `decode(all ids, skip_special_tokens=True)` of the
    tokenizer's own decoder, without the "clean-up" of spaces that some tokenizers add, which would damage code.

    A step decodes the tokens since the last text, after the tokens of that text as context, because decoders of the
    SentencePiece family treat the first token of a sequence differently. Text is held back while a later token may
    change it: if it ends within a character, or in a run of byte tokens (`<0xE2>`), which is only decoded as a whole.
    """

    def __init__(self, tokenizer: Any, marks: Mapping[int, str] | None = None) -> None:
        """`tokenizer` is a `tokenizers.Tokenizer` or a Transformers tokenizer, or a ModelTokenizer around one.

        `marks` are the characters for a dialect's tokens, by token id (`pensieve.core.dialects.marks`). Only these
        tokens decode to these characters. In other text, the characters are replaced by U+FFFD.
        """
        self._marks = marks or {}
        self._mark_characters = re.compile("|".join(map(re.escape, self._marks.values()))) if self._marks else None
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
        self._pending: list[int] = []

    def step(self, token_id: int) -> str:
        """Add a token and return the text that is now final, often ''. Ids unknown to the tokenizer have no text."""
        if token_id in self._marks:
            text = self.finish() + self._marks[token_id]
            self._context, self._context_length = [], 0
            return text
        token = None if token_id in self._special_ids else self._token_of(token_id)
        if token is None:
            return ""
        self._pending.append(token_id)
        if _BYTE_TOKEN.fullmatch(token):
            return ""
        text = self._decode(self._context + self._pending)
        if not text.endswith(_REPLACEMENT):
            return self._emit(text, len(self._pending))
        return self._emit_settled(text) if len(self._pending) > _MAX_PENDING else ""

    def _emit_settled(self, text: str) -> str:
        """All but what a later token may change, of bytes that are no characters."""
        for num_open in _OPEN_TOKENS:
            settled = self._pending[:-num_open]
            if _BYTE_TOKEN.fullmatch(self._token_of(settled[-1]) or ""):
                continue  # within a run of byte tokens
            begin = self._decode(self._context + settled)
            if text.startswith(begin):
                return self._emit(begin, len(settled))
        return ""

    def finish(self) -> str:
        """The text that was still held back. An incomplete character becomes U+FFFD."""
        if not self._pending:
            return ""
        return self._emit(self._decode(self._context + self._pending), len(self._pending))

    def _emit(self, text: str, num_tokens: int) -> str:
        """The new text of the first `num_tokens` of those that are pending; `text` has the context before it."""
        new_text = text[self._context_length :]
        if new_text:
            self._context, self._pending = self._pending[:num_tokens], self._pending[num_tokens:]
            self._context_length = len(self._decode(self._context))
        return new_text if self._mark_characters is None else self._mark_characters.sub(_REPLACEMENT, new_text)
