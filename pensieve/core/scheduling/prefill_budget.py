"""Limits how many prompt tokens one step prefills, so that a long prompt does not stall running answers (G-P2).

A step prefills a chunk and decodes one token for each running answer, so the chunk delays that token. How long a chunk
takes depends on the machine: on a CPU, chunks of 64 tokens prefill as fast as chunks of 2048; on an H200, 64 tokens of
a 6.7B model took 25 ms and 512 took 62 ms. So steps are timed by chunk size, and a chunk is as large as the delay
allows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

MAX_DECODE_STEPS: Final = 8
"""A chunk may take as long as this many decode steps. G-P2 allows a gap of 12 steps, including the step itself."""

MAX_DECODE_STEPS_ON_CPU: Final = 4
"""On a CPU, gaps are shorter at little cost: beside a stream, 512 tokens took 0.73 s of CPU time in chunks of 96, which
are 3.7 decode steps, 0.64 s in chunks of 160 (5.6 steps), and 0.85 s in chunks of 64 (2.9 steps). Much of it are the
decode steps in between, whose tokens the stream gets.
"""

MAX_DECODE_STEPS_IN_ONE_PASS: Final = 2
"""Where a chunk and the streams' tokens share a pass, it may add this much to a decode step."""

MIN_TOKENS: Final = 32
"""The smallest chunk, however long it takes, because every chunk reads all the weights once."""

GRAIN_TOKENS: Final = 16
"""Chunks are multiples of this: kernels work in tiles, and each new size may have to be planned."""

_NEWEST_WEIGHT: Final = 0.3
_NEWEST_SLOWDOWN_WEIGHT: Final = 0.8
"""Weight recent chunks most: the cost per token grows with depth."""
_MIN_SECONDS: Final = 1e-9


class PrefillBudget:
    """Learns from the steps of one model on this machine. Steps that prefill several prompts are timed separately,
    since they cost more than the same number of tokens of one prompt. A chunk takes at most `max_decode_steps`.
    """

    def __init__(self, max_decode_steps: int = MAX_DECODE_STEPS) -> None:
        self._max_decode_steps = max_decode_steps
        self._decode_seconds: dict[int, float] = {}
        self._one_prompt, self._several_prompts = _ChunkCosts(), _ChunkCosts()

    def note_decode(self, num_rows: int, seconds: float) -> None:
        """Record a step that decodes one token of each row and prefills nothing."""
        self._decode_seconds[num_rows] = _averaged(self._decode_seconds.get(num_rows), seconds)

    def note_prefill(self, num_tokens: int, seconds: float, num_rows: int, num_prompts: int = 1) -> None:
        """Record a step that prefills `num_tokens` while `num_rows` decode."""
        chunk_seconds = max(_MIN_SECONDS, seconds - self._decode_seconds.get(num_rows, 0.0))
        (self._several_prompts if num_prompts > 1 else self._one_prompt).note(num_tokens, chunk_seconds)

    def max_tokens(self, num_rows: int, chunk_tokens: int, num_prompts: int = 1) -> int:
        """The tokens that all prompts together may prefill in a step beside `num_rows`: at most `chunk_tokens`."""
        kinds = (
            (self._several_prompts, self._one_prompt) if num_prompts > 1 else (self._one_prompt, self._several_prompts)
        )
        costs = next((each for each in kinds if each.is_known), None)
        if not num_rows or costs is None:
            return chunk_tokens
        decode_seconds = self._seconds_of_decode(num_rows) or costs.shortest_seconds
        fitting = int(costs.tokens_in(self._max_decode_steps * decode_seconds)) // GRAIN_TOKENS * GRAIN_TOKENS
        return min(chunk_tokens, max(MIN_TOKENS, fitting))

    def _seconds_of_decode(self, num_rows: int) -> float | None:
        """That of the next smaller number of rows if `num_rows` were never decoded, or of the next larger one."""
        known = sorted(self._decode_seconds)
        nearest = max((each for each in known if each <= num_rows), default=known[0] if known else None)
        return None if nearest is None else self._decode_seconds[nearest]


class _ChunkCosts:
    """The time of a chunk by its size, and how much slower recent chunks were: a deeper prompt takes longer."""

    def __init__(self) -> None:
        self._noted: dict[int, tuple[float, float]] = {}
        """Average tokens and seconds of chunks of similar size, keyed by the bit length of their token count."""
        self._slowdown = 1.0

    @property
    def is_known(self) -> bool:
        return bool(self._noted)

    @property
    def shortest_seconds(self) -> float:
        """A decode step takes no longer: it computes one token of each row."""
        return min(seconds for _, seconds in self._noted.values()) * self._slowdown

    def note(self, num_tokens: int, seconds: float) -> None:
        size = num_tokens.bit_length()
        if size in self._noted:
            slowdown = seconds / _on_line(self._line(), num_tokens)
            self._slowdown += _NEWEST_SLOWDOWN_WEIGHT * (slowdown - self._slowdown)
        tokens_before, seconds_before = self._noted.get(size, (None, None))
        self._noted[size] = (_averaged(tokens_before, num_tokens), _averaged(seconds_before, seconds / self._slowdown))

    def tokens_in(self, seconds: float) -> float:
        """The tokens that fit in a time: interpolated between the timed sizes, and extrapolated beyond them."""
        return _on_line([(needed, tokens) for tokens, needed in self._line()], seconds / self._slowdown)

    def _line(self) -> list[tuple[float, float]]:
        """Points of (tokens, seconds), both rising, with seconds per token never rising.

        That discards outliers, such as a size that was slow once because its kernels were being compiled.
        """
        line, token_seconds = [(0.0, 0.0)], math.inf
        for tokens, noted in sorted(self._noted.values()):
            seconds = max(min(noted, tokens * token_seconds), line[-1][1] + _MIN_SECONDS)
            token_seconds = seconds / tokens
            line.append((tokens, seconds))
        return line


def _on_line(points: Sequence[tuple[float, float]], at: float) -> float:
    """The height at `at` of a line through (0, 0) and `points`, extended beyond the last in proportion to it."""
    for (left, low), (right, high) in pairwise(points):
        if at <= right:
            return low + (high - low) * (at - left) / (right - left)
    right, high = points[-1]
    return high * at / right


def _averaged(average: float | None, newest: float) -> float:
    return newest if average is None else average + _NEWEST_WEIGHT * (newest - average)
