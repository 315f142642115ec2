"""From rendered text to token ids, and from places in the text to places among the tokens."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from pensieve.models.prompts.encoded_texts import EncodedTexts
from pensieve.models.prompts.literals import Literal, Literals, Piece, Spliced


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A piece's tokens; `ends` are the characters at which they end in the piece, where the tokenizer can tell."""

    piece: Piece
    token_ids: Sequence[int]
    ends: Sequence[int] | None = None


class EncodedPrompt:
    """The tokens of a rendered conversation, and where its characters went."""

    def __init__(self, first_tokens: list[int], encoded: list[_Encoded], tokenizer: Any) -> None:
        self._first_tokens = first_tokens
        self._encoded = encoded
        self._tokenizer = tokenizer
        self.token_ids = list(chain(first_tokens, *(part.token_ids for part in encoded)))

    def num_tokens_within(self, num_characters: int) -> int:
        """How many tokens lie wholly in the first characters of the rendered text."""
        num_tokens = len(self._first_tokens)
        for part in self._encoded:
            length = num_characters - part.piece.start
            if length >= part.piece.length:
                num_tokens += len(part.token_ids)
            elif length > 0 and isinstance(part.piece.content, str):
                return num_tokens + self._within(part, part.piece.content, length)
            else:
                return num_tokens
        return num_tokens

    def _within(self, part: _Encoded, text: str, length: int) -> int:
        if part.ends is not None:
            return bisect_right(part.ends, length)
        # A tokenizer without offsets: tokens count as far as those of the stretch alone are the same.
        alone = self._tokenizer.encode(text[:length], add_special_tokens=False)
        pairs = zip(alone, part.token_ids, strict=False)
        return next(
            (index for index, (one, other) in enumerate(pairs) if one != other), min(len(alone), len(part.token_ids))
        )


class PromptEncoder:
    """Encodes for one tokenizer: mlx-lm's TokenizerWrapper, or one of Transformers."""

    def __init__(self, tokenizer: Any, *, has_template: bool) -> None:
        self._tokenizer = tokenizer
        self._has_template = has_template
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._texts = EncodedTexts(self._backend) if self._backend is not None else None

    @cached_property
    def control_tokens(self) -> re.Pattern[str] | None:
        """What a tokenizer would take for a control token wherever it reads it; the longest that fits comes first."""
        if self._backend is None:
            return None
        added = self._backend.get_added_tokens_decoder().values()
        contents = sorted({token.content for token in added if token.special and token.content}, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, contents))) if contents else None

    @cached_property
    def _literal_backend(self) -> Any:
        """A copy of the tokenizer that reads control tokens as any other text.

        Made at the first need, which is rare. A copy, since the switch is part of the tokenizer, and others use that.
        """
        copy: Any = deepcopy(self._backend)
        copy.encode_special_tokens = True
        return copy

    def encode(self, literals: Literals, text: str) -> EncodedPrompt:
        first_tokens = [] if self._has_template or self._backend is None else self.first_tokens()
        encoded = [part for piece in literals.reveal(text) for part in self._encoded(piece)]
        return EncodedPrompt(first_tokens, encoded, self._tokenizer)

    def _encoded(self, piece: Piece) -> Iterator[_Encoded]:
        match piece.content:
            case Spliced(token_ids):
                yield _Encoded(piece, token_ids)
            case Literal(text):
                yield _Encoded(piece, self._literal_backend.encode(text, add_special_tokens=False).ids)
            case str(text) if self._texts is None:
                yield _Encoded(piece, self._tokenizer.encode(text, add_special_tokens=False))
            case text:
                yield from self._in_parts(piece.start, text, self._texts)

    def _in_parts(self, start: int, text: str, texts: EncodedTexts) -> Iterator[_Encoded]:
        for part in texts.parts(text):
            yield _Encoded(Piece(start, len(part), part), *texts.of(part))
            start += len(part)

    def first_tokens(self) -> list[int]:
        """What the tokenizer puts before a text by itself, where no template does."""
        first = self._tokenizer.bos_token_id
        return [first] if first is not None and self._tokenizer.encode("")[:1] == [first] else []
