"""Recognises a prompt that cannot fit the window from a part of its text, so that no text costs more than a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pensieve.models.prompts.encoding.abandoned_work import check_wanted

CHUNK_CHARACTERS: Final = 16_384
CHARACTERS_PER_TOKEN: Final = 6
"""Prompts with fewer characters per token of the window are tokenised at once: they may fit."""
EXACT_WINDOWS: Final = 2
"""Prompts of fewer windows are tokenised as a whole, because clients compute what to remove from the exact number."""
_JOINT_TOKENS: Final = 3
"""The tokens that a chunk may have on its own only: its parts join with those of the text around it."""
_GOLDEN_RATIO: Final = 0.6180339887498949
"""Its multiples modulo 1 are spread evenly, so sorting by them puts chunks of all parts first."""


@dataclass(frozen=True, slots=True)
class PromptText:
    """`kept` is the share of its tokens that are certainly in the prompt, however a template writes the text."""

    text: str
    kept: float = 1.0


def tokens_beyond(max_tokens: int, texts: Sequence[PromptText], count: Callable[[str], int]) -> int | None:
    """An estimate of the texts' tokens if they certainly have several times `max_tokens`, else None.

    `count` is called with chunks from all over the texts until they have that many.
    """
    num_characters = sum(len(text.text) for text in texts)
    if num_characters <= CHARACTERS_PER_TOKEN * max_tokens:
        return None
    limit = EXACT_WINDOWS * max_tokens
    certain, num_tokens, num_read = 0.0, 0, 0
    for chunk, kept in _spread_chunks(texts):
        check_wanted()
        found = count(chunk)
        num_tokens += found
        num_read += len(chunk)
        certain += kept * max(0, found - _JOINT_TOKENS)
        if certain > limit:
            return max(limit + 1, num_tokens * num_characters // num_read)
    return None


def _spread_chunks(texts: Sequence[PromptText]) -> Iterator[tuple[str, float]]:
    """The texts' chunks with the share that is kept, in an order in which the first ones represent all."""
    chunks = [(text, start) for text in texts for start in range(0, len(text.text), CHUNK_CHARACTERS)]
    for number in sorted(range(len(chunks)), key=lambda number: number * _GOLDEN_RATIO % 1):
        text, start = chunks[number]
        yield text.text[start : start + CHUNK_CHARACTERS], text.kept
