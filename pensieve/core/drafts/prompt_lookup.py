"""Drafts by prompt lookup: the answer may copy earlier text, such as a file that is rewritten or a name that recurs.

A draft continues from its source, the earlier position that the answer seems to copy from. A forward pass of the model
verifies each draft, so a wrong one costs time but never changes the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

MAX_INDEXED_TOKENS: Final = 32_768
"""Only the end of a longer prompt is indexed: a full index would take seconds and tens of megabytes."""

MAX_MATCH_LENGTH: Final = 32
"""Longer matches are not counted any further."""

_BITS: Final = 24
"""The size of a token id in a key of the index."""


class PromptLookup:
    """The tokens of one prompt and its answer so far, and the position they seem to be copied from.

    Sources are found by pairs and triples of tokens; `add` takes constant time. After a wrong token the source moves on
    by one: a replaced name is followed by the old text.
    """

    def __init__(self, token_ids: Sequence[int]) -> None:
        self._token_ids: list[int] = []
        self._after_pair: dict[int, int] = {}
        self._after_triple: dict[int, int] = {}
        self._source: int | None = None
        self._match_length = 0
        self._index(token_ids[-MAX_INDEXED_TOKENS:])
        self._num_left_out = len(token_ids) - len(self._token_ids)

    @property
    def num_tokens(self) -> int:
        """The tokens of prompt and answer, including those that are not indexed."""
        return self._num_left_out + len(self._token_ids)

    @property
    def has_source(self) -> bool:
        return self._source is not None

    @property
    def match_length(self) -> int:
        """How many tokens before the source match the last ones, up to MAX_MATCH_LENGTH; 0 after a wrong token."""
        return self._match_length

    def add(self, token_id: int) -> bool | None:
        """Append a token of the answer; returns whether the source predicted it, or None if there was no source."""
        hit = None if self._source is None else self._token_ids[self._source] == token_id
        self._token_ids.append(token_id)
        if self._source is not None:
            self._source += 1
            self._match_length = min(self._match_length + 1, MAX_MATCH_LENGTH) if hit else 0
        pair, triple = self._index_last()
        if self._match_length < MAX_MATCH_LENGTH:
            self._prefer_longer_match(triple if triple is not None else pair)
        return hit

    def draft(self, num_tokens: int) -> list[int]:
        """`num_tokens` tokens from the source on, repeated if the text ends first; empty without a source."""
        if self._source is None:
            return []
        found = self._token_ids[self._source : self._source + num_tokens]
        period = len(found)
        while len(found) < num_tokens:
            found.append(found[-period])
        return found

    def _index(self, token_ids: Sequence[int]) -> None:
        self._token_ids = list(token_ids)
        before, last = 0, -1
        for end, token_id in enumerate(islice(self._token_ids, max(0, len(token_ids) - 1)), 1):
            if end >= 2:
                pair = last << _BITS | token_id
                self._after_pair[pair] = end
                if end >= 3:
                    self._after_triple[before << 2 * _BITS | pair] = end
            before, last = last, token_id
        if self._token_ids:
            pair_place, triple_place = self._index_last()
            self._prefer_longer_match(triple_place if triple_place is not None else pair_place)

    def _index_last(self) -> tuple[int | None, int | None]:
        """Index the last pair and triple; returns the positions after their previous occurrences."""
        tokens, end = self._token_ids, len(self._token_ids)
        if end < 2:
            return None, None
        pair = tokens[-2] << _BITS | tokens[-1]
        after_pair, after_triple = self._after_pair.get(pair), None
        self._after_pair[pair] = end
        if end >= 3:
            triple = tokens[-3] << 2 * _BITS | pair
            after_triple = self._after_triple.get(triple)
            self._after_triple[triple] = end
        return after_pair, after_triple

    def _prefer_longer_match(self, place: int | None) -> None:
        """Switch to another source if it matches more of the last tokens than the current one."""
        if place is None or place == self._source:
            return
        length = self._count_matching(place)
        if length > self._match_length or self._source is None:
            self._source, self._match_length = place, length

    def _count_matching(self, place: int) -> int:
        """How many tokens before `place` match the end of the text, up to MAX_MATCH_LENGTH."""
        tokens, end = self._token_ids, len(self._token_ids)
        length = 0
        while length < MAX_MATCH_LENGTH and length < place and tokens[place - 1 - length] == tokens[end - 1 - length]:
            length += 1
        return length
