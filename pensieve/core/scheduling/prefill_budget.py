"""How much of a prompt is read in one step while others are being answered, so that nobody waits long (G-P2).

A step reads a chunk and gives each answer one token. However fast the machine is, a chunk takes as long as so many
tokens, and answers halt for it. What a chunk takes is no rule: on a CPU, 64 tokens at a time are read as fast as 2048;
on an H200, 64 tokens of a 6.7B model took 25 ms and 512 took 62. So steps are timed, by the size of their chunks, and a
chunk is as large as the wait allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

MAX_USUAL_STEPS: Final = 8
"""A chunk may take as long as so many steps without one. G-P2 allows a gap of 12, in which the step itself is too."""

MIN_TOKENS: Final = 32
"""A chunk has no fewer, however long it takes: each reads all the weights once."""

GRAIN_TOKENS: Final = 16
"""A chunk is a multiple of it: kernels work by tiles, and each size that is met may cost a plan."""

_NEWEST_COUNTS: Final = 0.3
_NEWEST_SLOWNESS_COUNTS: Final = 0.8
"""A prompt gets deeper with each chunk, so the last one tells most of the next."""
_MIN_SECONDS: Final = 1e-9


class PrefillBudget:
    """Learns from the steps of one model on this machine. A step that reads several prompts is another kind than one
    that reads as many tokens of one.
    """

    def __init__(self) -> None:
        self._usual_seconds: dict[int, float] = {}
        self._of_one, self._of_several = _ChunkCosts(), _ChunkCosts()

    def note_decode(self, num_rows: int, seconds: float) -> None:
        """A step that decodes a token of each row, and reads nothing."""
        self._usual_seconds[num_rows] = _moved(self._usual_seconds.get(num_rows), seconds)

    def note_prefill(self, num_tokens: int, seconds: float, num_rows: int, num_prompts: int = 1) -> None:
        """A step that reads so many tokens of prompts, beside rows that decode."""
        own = max(_MIN_SECONDS, seconds - self._usual_seconds.get(num_rows, 0.0))
        (self._of_several if num_prompts > 1 else self._of_one).note(num_tokens, own)

    def max_tokens(self, num_rows: int, chunk_tokens: int, num_prompts: int = 1) -> int:
        """Of all prompts together, in a step beside so many rows: `chunk_tokens`, or fewer."""
        usual = self._usual_seconds.get(num_rows)
        kinds = (self._of_several, self._of_one) if num_prompts > 1 else (self._of_one, self._of_several)
        costs = next((each for each in kinds if each.is_known), None)
        if not num_rows or usual is None or costs is None:
            return chunk_tokens
        fitting = int(costs.tokens_in(MAX_USUAL_STEPS * usual)) // GRAIN_TOKENS * GRAIN_TOKENS
        return min(chunk_tokens, max(MIN_TOKENS, fitting))


class _ChunkCosts:
    """What chunks take by their size, and how much longer the last ones took than that: deep in a prompt they do."""

    def __init__(self) -> None:
        self._noted: dict[int, tuple[float, float]] = {}
        """Tokens and seconds of the chunks of about a size, by the bits of their number of tokens."""
        self._slowness = 1.0

    @property
    def is_known(self) -> bool:
        return bool(self._noted)

    def note(self, num_tokens: int, seconds: float) -> None:
        size = num_tokens.bit_length()
        if size in self._noted:
            slowness = seconds / _on_line(self._line(), num_tokens)
            self._slowness += _NEWEST_SLOWNESS_COUNTS * (slowness - self._slowness)
        tokens_before, seconds_before = self._noted.get(size, (None, None))
        self._noted[size] = (_moved(tokens_before, num_tokens), _moved(seconds_before, seconds / self._slowness))

    def tokens_in(self, seconds: float) -> float:
        """Between the sizes that were timed in proportion, and so beyond them."""
        return _on_line([(needed, tokens) for tokens, needed in self._line()], seconds / self._slowness)

    def _line(self) -> list[tuple[float, float]]:
        """Tokens and seconds, both rising: more tokens take longer, but no longer each.

        So a size that took long once, as when kernels were compiled for it, is not believed to.
        """
        line, token_seconds = [(0.0, 0.0)], math.inf
        for tokens, noted in sorted(self._noted.values()):
            seconds = max(min(noted, tokens * token_seconds), line[-1][1] + _MIN_SECONDS)
            token_seconds = seconds / tokens
            line.append((tokens, seconds))
        return line


def _on_line(points: Sequence[tuple[float, float]], at: float) -> float:
    """How high a line is that rises from (0, 0) through points. Beyond the last, it is as steep as from 0 to that."""
    for (left, low), (right, high) in pairwise(points):
        if at <= right:
            return low + (high - low) * (at - left) / (right - left)
    right, high = points[-1]
    return high * at / right


def _moved(known: float | None, newest: float) -> float:
    return newest if known is None else known + _NEWEST_COUNTS * (newest - known)
