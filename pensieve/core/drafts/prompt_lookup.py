"""What an answer may say next, guessed from what was said before: a file that is rewritten, a name that comes again.

A guess is a place in the text so far, the source, from which the answer seems to copy. Nothing here is sure of it: a
forward pass of the model checks each guess, and what it would not have said is thrown away.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

MAX_INDEXED_TOKENS: Final = 32_768
"""Of a prompt, its last: an index of more would take seconds to make, and tens of megabytes."""

LONGEST_MATCH: Final = 32
"""A source is known to agree with the text before it in so many tokens, or more."""

_BITS: Final = 24
"""A token id has no more."""


class PromptLookup:
    """The tokens of one prompt and its answer so far, and the place they seem to be copied from.

    Pairs and triples of tokens are looked up; `add` takes a time that does not grow with their number. Where a source
    was wrong by one token, the place behind it is tried next: a name that was replaced is followed by the old text.
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
        """Of prompt and answer, those that are not indexed as well."""
        return self._num_left_out + len(self._token_ids)

    @property
    def has_source(self) -> bool:
        return self._source is not None

    @property
    def match_length(self) -> int:
        """The tokens before the source that agree with the last ones, up to LONGEST_MATCH; 0 behind a wrong one."""
        return self._match_length

    def add(self, token_id: int) -> bool | None:
        """One more token of the answer: whether the source had it; None where there was no source."""
        hit = None if self._source is None else self._token_ids[self._source] == token_id
        self._token_ids.append(token_id)
        if self._source is not None:
            self._source += 1
            self._match_length = min(self._match_length + 1, LONGEST_MATCH) if hit else 0
        pair, triple = self._remember_last()
        if self._match_length < LONGEST_MATCH:
            self._look_for_longer(triple if triple is not None else pair)
        return hit

    def draft(self, num_tokens: int) -> list[int]:
        """So many tokens from the source on, or none. Where the text ends before, it goes on from the draft itself."""
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
            pair_place, triple_place = self._remember_last()
            self._look_for_longer(triple_place if triple_place is not None else pair_place)

    def _remember_last(self) -> tuple[int | None, int | None]:
        """Index what the text ends with; where the same stood before, the places behind it."""
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

    def _look_for_longer(self, place: int | None) -> None:
        """Take another source if it agrees with more of the last tokens than the present one does."""
        if place is None or place == self._source:
            return
        length = self._agreement(place)
        if length > self._match_length or self._source is None:
            self._source, self._match_length = place, length

    def _agreement(self, place: int) -> int:
        """How many tokens before a place are the last ones of the text, up to LONGEST_MATCH."""
        tokens, end = self._token_ids, len(self._token_ids)
        length = 0
        while length < LONGEST_MATCH and length < place and tokens[place - 1 - length] == tokens[end - 1 - length]:
            length += 1
        return length
