"""How much of a prompt is read in one step while others are being answered, so that nobody waits long (G-P2).

A step reads a chunk and gives each answer one token. However fast the machine is, a chunk takes as long as so many
tokens, and answers halt for it. What a chunk takes is no rule: on a CPU, 64 tokens at a time are read as fast as 2048;
on an H200, 64 tokens of a 6.7B model took 25 ms and 512 took 62. So steps are timed, by the size of their chunks, and a
chunk is as large as the wait allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

MOST_USUAL_STEPS: Final = 9
"""A chunk may take as long as so many steps without one. G-P2 allows a gap of 12, in which the step itself is too."""

LEAST_TOKENS: Final = 32
"""A chunk has no fewer, however long it takes: each reads all the weights once."""

GRAIN_TOKENS: Final = 16
"""A chunk is a multiple of it: kernels work by tiles, and each size that is met may cost a plan."""

_NEWEST_COUNTS: Final = 0.3
_LEAST_SECONDS: Final = 1e-9


class ReadingPace:
    """Learns from the steps of one model on this machine. A step that reads several prompts is another kind than one
    that reads as many tokens of one.
    """

    def __init__(self) -> None:
        self._usual_seconds: dict[int, float] = {}
        self._chunks: dict[bool, dict[int, tuple[float, float]]] = {False: {}, True: {}}
        """Whether several prompts were read; by the bits of the number of tokens, so many tokens and their seconds."""

    def note_usual(self, num_rows: int, seconds: float) -> None:
        """A step that decodes a token of each row, and reads nothing."""
        self._usual_seconds[num_rows] = _moved(self._usual_seconds.get(num_rows), seconds)

    def note_read(self, num_tokens: int, seconds: float, num_rows: int, num_prompts: int = 1) -> None:
        """A step that reads so many tokens of prompts, beside rows that decode."""
        own = max(0.0, seconds - self._usual_seconds.get(num_rows, 0.0))
        chunks, size = self._chunks[num_prompts > 1], num_tokens.bit_length()
        tokens_before, seconds_before = chunks.get(size, (None, None))
        chunks[size] = (_moved(tokens_before, num_tokens), _moved(seconds_before, own))

    def most_tokens(self, num_rows: int, chunk_tokens: int, num_prompts: int = 1) -> int:
        """Of all prompts together, in a step beside so many rows: `chunk_tokens`, or fewer."""
        usual = self._usual_seconds.get(num_rows)
        chunks = self._chunks[num_prompts > 1] or self._chunks[num_prompts <= 1]
        if not num_rows or usual is None or not chunks:
            return chunk_tokens
        fitting = int(_tokens_in(MOST_USUAL_STEPS * usual, sorted(chunks.values()))) // GRAIN_TOKENS * GRAIN_TOKENS
        return min(chunk_tokens, max(LEAST_TOKENS, fitting))


def _tokens_in(seconds: float, chunks: Sequence[tuple[float, float]]) -> float:
    """Between the sizes that were timed, in proportion; and beyond them, since more tokens take no more each.

    So a size that took longer once, as when kernels were compiled for it, is not believed to take more a token than a
    smaller one does.
    """
    within, token_seconds = (0.0, 0.0), math.inf
    for tokens, noted in chunks:
        needed = min(noted, tokens * token_seconds)
        if needed > seconds:
            return within[0] + (tokens - within[0]) * (seconds - within[1]) / (needed - within[1])
        within, token_seconds = (tokens, needed), min(token_seconds, needed / tokens)
    return seconds / max(token_seconds, _LEAST_SECONDS)


def _moved(known: float | None, newest: float) -> float:
    return newest if known is None else known + _NEWEST_COUNTS * (newest - known)
