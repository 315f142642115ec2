"""Encodes rendered text to token ids, and maps offsets in the text to positions among the tokens."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby
from typing import Any

from pensieve.models.prompts.encoding.added_tokens import AddedTokens
from pensieve.models.prompts.encoding.encoding_cache import MAX_BYTES, EncodingCache
from pensieve.models.prompts.encoding.literal_encoder import LiteralEncoder
from pensieve.models.prompts.encoding.literals import Literals, RenderedPiece, SplicedTokens
from pensieve.models.tokenizers import unlocked


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A piece's tokens. `ends` are the offsets in the piece at which they end, if the tokenizer reports offsets."""

    piece: RenderedPiece
    token_ids: Sequence[int]
    ends: Sequence[int] | None = None


class EncodedPrompt:
    """The tokens of a rendered conversation, with their offsets in the text."""

    def __init__(self, first_tokens: list[int], encoded: list[_Encoded], tokenizer: Any) -> None:
        self._first_tokens = first_tokens
        self._encoded = encoded
        self._tokenizer = tokenizer
        self.token_ids = list(chain(first_tokens, *(part.token_ids for part in encoded)))

    def num_tokens_within(self, num_characters: int) -> int:
        """The number of tokens that end within the first `num_characters` of the rendered text."""
        num_tokens = len(self._first_tokens)
        for part in self._encoded:
            length = num_characters - part.piece.start
            if length >= part.piece.length:
                num_tokens += len(part.token_ids)
            elif length > 0:
                return num_tokens + self._within(part, length)
            else:
                return num_tokens
        return num_tokens

    def _within(self, part: _Encoded, length: int) -> int:
        if part.ends is not None:
            return bisect_right(part.ends, length)
        text = part.piece.content
        if not isinstance(text, str):
            return 0
        # A tokenizer without offsets: count the tokens that stay the same if the text is encoded only up to here.
        alone = self._tokenizer.encode(text[:length], add_special_tokens=False)
        pairs = zip(alone, part.token_ids, strict=False)
        return next(
            (index for index, (one, other) in enumerate(pairs) if one != other), min(len(alone), len(part.token_ids))
        )


class PromptEncoder:
    """Encodes for one tokenizer: a ModelTokenizer or a Transformers tokenizer. Its two caches, of rendered
    texts and of literal ones, take at most `max_cached_bytes` together.
    """

    def __init__(self, tokenizer: Any, *, has_template: bool, max_cached_bytes: int = 2 * MAX_BYTES) -> None:
        self._max_cache_bytes = max_cached_bytes // 2
        self._tokenizer = tokenizer
        self._has_template = has_template
        self._backend = getattr(tokenizer, "backend_tokenizer", None)
        self._cache = EncodingCache(self._backend, self._max_cache_bytes) if self._backend is not None else None

    @cached_property
    def added_tokens(self) -> AddedTokens | None:
        """The tokens that text must not spell. None for a tokenizer without a `tokenizers` backend."""
        return AddedTokens(self._backend) if self._backend is not None else None

    @cached_property
    def _literal_encoder(self) -> LiteralEncoder | None:
        added = self.added_tokens
        return LiteralEncoder(added, self._max_cache_bytes) if added is not None else None

    def encode(self, literals: Literals, text: str) -> EncodedPrompt:
        first_tokens = [] if self._has_template or self._backend is None else self.first_tokens()
        encoded = [part for stretch in _stretches(literals.pieces_of(text)) for part in self._encoded(stretch)]
        return EncodedPrompt(first_tokens, encoded, self._tokenizer)

    def count(self, text: str) -> int:
        """The number of tokens of a text alone."""
        if self._backend is not None:
            return unlocked.count(self._backend, text)
        return len(self._tokenizer.encode(text, add_special_tokens=False))

    def first_tokens(self) -> list[int]:
        """The tokens that the tokenizer itself puts before a text if there is no template."""
        first = self._tokenizer.bos_token_id
        return [first] if first is not None and self._tokenizer.encode("")[:1] == [first] else []

    def _encoded(self, stretch: Sequence[RenderedPiece]) -> Iterator[_Encoded]:
        """Encode the text between two control tokens at once, with or without gaps."""
        if isinstance(stretch[0].content, SplicedTokens):
            yield _Encoded(stretch[0], stretch[0].content.token_ids)
            return
        if self._cache is None:
            for piece in stretch:
                yield _Encoded(piece, self._tokenizer.encode(piece.content or "", add_special_tokens=False))
            return
        for part in _parts(stretch, self._cache):
            start, length = part[0].start, sum(piece.length for piece in part)
            if len(part) == 1 and isinstance(part[0].content, str):
                yield _Encoded(part[0], *self._cache.encode(part[0].content))
            elif self._literal_encoder is not None:
                token_ids, ends = self._literal_encoder.encode(part)
                yield _Encoded(RenderedPiece(start, length, None), token_ids, ends)


def _stretches(pieces: Iterable[RenderedPiece]) -> Iterator[list[RenderedPiece]]:
    """Runs of text and gaps, and each splice separately."""
    for is_splice, group in groupby(pieces, lambda piece: isinstance(piece.content, SplicedTokens)):
        if is_splice:
            yield from ([piece] for piece in group)
        else:
            yield list(group)


def _parts(stretch: Iterable[RenderedPiece], cache: EncodingCache) -> Iterator[list[RenderedPiece]]:
    """Split a stretch before its control tokens. Each part keeps its gaps."""
    part: list[RenderedPiece] = []
    for piece in stretch:
        if not isinstance(piece.content, str):
            part.append(piece)
            continue
        start = piece.start
        for text in cache.parts(piece.content):
            if part and (start > piece.start or cache.is_split_before(text)):
                yield part
                part = []
            part.append(RenderedPiece(start, len(text), text))
            start += len(text)
    if part:
        yield part
