"""Recognises a prompt that cannot fit the window from a part of its text, so that no text costs more than a window."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

CHUNK_CHARACTERS: Final = 16_384
CHARACTERS_PER_TOKEN: Final = 4
"""Prompts with fewer characters per token of the window are tokenised as a whole without an estimate before it."""
_JOINT_TOKENS: Final = 3
"""The tokens that a chunk may have on its own only: its parts join with those of the text around it."""
_MAX_COUNTS: Final = 8192
_GOLDEN_RATIO: Final = 0.6180339887498949
"""Its multiples modulo 1 are spread evenly, so sorting by them puts chunks of all parts first."""


@dataclass(frozen=True, slots=True)
class PromptText:
    """`kept` is the share of its tokens that are certainly in the prompt, however a template writes the text."""

    text: str
    kept: float = 1.0


class TokenEstimate:
    """For one tokenizer. Any thread may use it. Counts of chunks are cached, because conversations repeat their texts."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self._count = count
        self._lock = threading.Lock()
        self._counts: OrderedDict[int, int] = OrderedDict()

    def beyond(self, max_tokens: int, texts: Sequence[PromptText]) -> int | None:
        """An estimate of the texts' tokens if they certainly have more than `max_tokens`, else None.

        Chunks from all over the texts are counted until they have that many.
        """
        num_characters = sum(len(text.text) for text in texts)
        if num_characters <= CHARACTERS_PER_TOKEN * max_tokens:
            return None
        certain, num_tokens, num_read = 0.0, 0, 0
        for chunk, kept in _spread_chunks(texts):
            found = self._cached_count(chunk)
            num_tokens += found
            num_read += len(chunk)
            certain += kept * max(0, found - _JOINT_TOKENS)
            if certain > max_tokens:
                return max(max_tokens + 1, num_tokens * num_characters // num_read)
        return None

    def _cached_count(self, chunk: str) -> int:
        key = hash(chunk)
        with self._lock:
            if key in self._counts:
                self._counts.move_to_end(key)
                return self._counts[key]
        found = self._count(chunk)
        with self._lock:
            self._counts[key] = found
            if len(self._counts) > _MAX_COUNTS:
                self._counts.popitem(last=False)
        return found


def _spread_chunks(texts: Sequence[PromptText]) -> Iterator[tuple[str, float]]:
    """The texts' chunks with the share that is kept, in an order in which the first ones represent all."""
    chunks = [(text, start) for text in texts for start in range(0, len(text.text), CHUNK_CHARACTERS)]
    for number in sorted(range(len(chunks)), key=lambda number: number * _GOLDEN_RATIO % 1):
        text, start = chunks[number]
        yield text.text[start : start + CHUNK_CHARACTERS], text.kept
