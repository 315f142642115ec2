"""Encodes text with gaps: the template's control tokens become tokens, those that a message spells stay text."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pensieve.models.prompts.encoding.added_tokens import START, AddedTokens
from pensieve.models.prompts.encoding.encoding_cache import MAX_BYTES, EncodingCache
from pensieve.models.prompts.encoding.literals import RenderedPiece


@dataclass(frozen=True, slots=True)
class _Section:
    """Text between control tokens. `ends` are the offsets in the rendered text at which its characters end."""

    text: str
    ends: Sequence[int]


class LiteralEncoder:
    """Encodes for one tokenizer. Any thread may use it."""

    def __init__(self, added_tokens: AddedTokens, max_cached_bytes: int = MAX_BYTES) -> None:
        self._added = added_tokens
        self._cache = EncodingCache(added_tokens.literal_backend, max_cached_bytes)
        self._control_ids = {
            token_id: token.content for token_id, token in added_tokens.by_content.values() if token.special
        }

    def encode(self, part: Sequence[RenderedPiece]) -> tuple[list[int], list[int]]:
        """The token ids of text and gaps, and the offsets from the part's start in the rendered text where they end."""
        token_ids: list[int] = []
        ends: list[int] = []
        is_at_start = part[0].start == 0
        for section in self._sections(part):
            if isinstance(section, _Section):
                for token_id, end in self._encoded(section.text, is_at_start=is_at_start):
                    token_ids.append(token_id)
                    ends.append(section.ends[end - 1] if end else (ends[-1] if ends else 0))
            else:
                token_ids.append(section[0])
                ends.append(section[1])
            is_at_start = False
        return token_ids, ends

    def _sections(self, part: Sequence[RenderedPiece]) -> Iterator[_Section | tuple[int, int]]:
        """The control tokens within the pieces, as id and end, and the text between them."""
        text: list[str] = []
        ends = array("I")
        origin = part[0].start
        strips = False
        for number, piece in enumerate(part):
            if not isinstance(piece.content, str):
                continue
            position = 0
            is_between_gaps = len(piece.content) == 1 and 0 < number < len(part) - 1
            spans = [] if is_between_gaps else list(self._added.tokenizer_spans(piece.content))
            for start, end in [*spans, (len(piece.content), len(piece.content))]:
                stretch = piece.content[position:start]
                token_id, token = self._added.by_content.get(piece.content[start:end], (None, None))
                if strips and not text:
                    position += len(stretch) - len(stretch.lstrip())
                    stretch = stretch.lstrip()
                text.append(stretch)
                ends.extend(range(piece.start - origin + position + 1, piece.start - origin + start + 1))
                position = end
                if token_id is None or token is None:
                    continue
                whole = "".join(text)
                kept = len(whole.rstrip()) if token.lstrip else len(whole)
                if kept:
                    yield _Section(whole[:kept], ends[:kept])
                yield token_id, piece.start - origin + end
                text, ends, strips = [], array("I"), token.rstrip
        if any(text):
            yield _Section("".join(text), ends)

    def _encoded(self, text: str, *, is_at_start: bool) -> Iterator[tuple[int, int]]:
        """Token ids, and the offsets in the text at which they end."""
        before = 0
        for chunk in self._chunks(text, is_at_start=is_at_start):
            prefix = "" if is_at_start and not before else START
            token_ids, ends = self._cache.encode(prefix + chunk)
            skipped = 1 if prefix else 0
            for token_id, end in zip(token_ids[skipped:], ends[skipped:], strict=True):
                yield token_id, before + end - len(prefix)
            before += len(chunk)

    def _chunks(self, text: str, *, is_at_start: bool) -> Iterator[str]:
        """The text, split inside each START or control token that the vocabulary would otherwise match as one piece."""
        token_ids, _ = self._cache.encode(("" if is_at_start else START) + text.replace(START, ""))
        found = {self._control_ids[token_id] for token_id in token_ids if token_id in self._control_ids}
        cuts = sorted(
            match.start() + 1 for content in (START, *found) for match in re.finditer(re.escape(content), text)
        )
        for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
            yield text[start:end]
