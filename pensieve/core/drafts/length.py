"""How many tokens of a draft are worth checking, from how often drafts came true and what a check takes here.

Neither is a rule. On one GPU a pass over 16 tokens takes less time than one over 4, since another kernel serves it; on
a CPU each token costs. So passes are timed as they happen, and whether drafts come true is counted for each request.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

WIDTHS: Final = (2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Tokens of a pass that checks a draft: the last token, and the drafted ones. Kernels are compiled for each width."""

MIN_GAIN: Final = 1.1
"""A check has to promise so much more than plain decoding, which needs no guess to be right."""

_MEMORY: Final = 0.95
"""How much of what was counted before is left after one more: the last twenty or so tell."""

_PRIORS: Final = ((0, 0.1), (2, 0.15), (3, 0.3), (4, 0.6), (8, 0.85), (16, 0.93), (32, 0.97))
"""From so many agreeing tokens on, the chance that the next one agrees as well, until the request tells its own."""
_PRIOR_WEIGHT: Final = 3.0

_BUCKETS: Final = tuple(
    max(index for index, (least, _) in enumerate(_PRIORS) if least <= length) for length in range(_PRIORS[-1][0] + 1)
)

_COST_OF_ONE_MORE: Final = 0.08
"""Of a plain pass, for each token of a width that was not timed yet: less than it may be, so that it is tried."""
_RECENT_TIMES: Final = 7
_STALE_AFTER_PASSES: Final = 300


class MatchAcceptance:
    """How often the next token was the source's, by how many before it were: of one request.

    Tokens that were decoded without a check count as well, so nothing has to be risked to find out.
    """

    def __init__(self) -> None:
        self._hits = [chance * _PRIOR_WEIGHT for _, chance in _PRIORS]
        self._tries = [_PRIOR_WEIGHT] * len(_PRIORS)

    def as_prior(self) -> MatchAcceptance:
        """What to begin with after a text that was counted so: as few tries as ever, but no chance below the usual one.

        A prompt that repeats itself is likely to be repeated. One that does not may be rewritten all the same.
        """
        prior = MatchAcceptance()
        for bucket, (_, usual) in enumerate(_PRIORS):
            prior._hits[bucket] = _PRIOR_WEIGHT * max(usual, self._hits[bucket] / self._tries[bucket])
        return prior

    def note(self, match_length: int, *, hit: bool) -> None:
        bucket = _bucket(match_length)
        self._hits[bucket] = self._hits[bucket] * _MEMORY + hit
        self._tries[bucket] = self._tries[bucket] * _MEMORY + 1.0

    def chance(self, match_length: int) -> float:
        """That the source's next token comes, 0.0 to 1.0."""
        bucket = _bucket(match_length)
        return self._hits[bucket] / self._tries[bucket]

    def expected(self, match_length: int, max_tokens: int) -> list[float]:
        """The tokens that a check brings: at [n] with n tokens drafted, for n up to `max_tokens`."""
        sums, chance = [1.0], 1.0
        for _ in range(max_tokens):
            chance *= self.chance(match_length)
            sums.append(sums[-1] + chance)
            match_length += 1
        return sums


class PassCosts:
    """Seconds of one forward pass by its width in tokens, learned from the passes themselves.

    The first pass of a width compiles its kernels and tells nothing. What was not tried for long is forgotten, so that
    it is tried again.
    """

    def __init__(self) -> None:
        self._times: dict[int, deque[float]] = {}
        self._known: dict[int, float] = {}
        self._noted_at: dict[int, int] = {}
        self._warm: set[int] = set()
        self._num_passes = 0

    def note(self, width: int, seconds: float) -> None:
        self._num_passes += 1
        if width not in self._warm:
            self._warm.add(width)
            return
        times = self._times.setdefault(width, deque(maxlen=_RECENT_TIMES))
        times.append(seconds)
        self._known[width] = statistics.median(times)
        self._noted_at[width] = self._num_passes
        if self._num_passes % _RECENT_TIMES == 0:
            self._forget_stale()

    def seconds(self, width: int) -> float | None:
        """Measured; else between the neighbours that are; None until plain passes are."""
        known = self._known
        if width in known:
            return known[width]
        if 1 not in known:
            return None
        below = max(each for each in known if each < width)
        above = min((each for each in known if each > width), default=None)
        if above is None:
            return known[below] + known[1] * _COST_OF_ONE_MORE * (width - below)
        return known[below] + (known[above] - known[below]) * (width - below) / (above - below)

    def _forget_stale(self) -> None:
        for width, noted_at in list(self._noted_at.items()):
            if width != 1 and self._num_passes - noted_at > _STALE_AFTER_PASSES:
                del self._known[width], self._times[width], self._noted_at[width]


def best_width(expected: Sequence[Sequence[float]], seconds: Callable[[int], float | None]) -> int:
    """The width of the pass that brings most tokens a second to all rows together; 1 where plain decoding does.

    `expected` has a row for each request in the batch: the tokens it gets with n drafted at [n].
    """
    plain_seconds = seconds(1)
    if plain_seconds is None or not expected:
        return 1
    best, best_rate = 1, MIN_GAIN * len(expected) / plain_seconds
    longest = max(len(row) for row in expected)
    for width in WIDTHS:
        cost = seconds(width)
        if width > longest or cost is None:
            break
        rate = sum(row[min(width, len(row)) - 1] for row in expected) / cost
        if rate > best_rate:
            best, best_rate = width, rate
    return best


def _bucket(match_length: int) -> int:
    return _BUCKETS[min(match_length, len(_BUCKETS) - 1)]
