"""Chooses how many draft tokens to verify, from the acceptance rate and the measured cost of a pass.

Neither can be predicted. On one GPU a pass over 16 tokens is faster than one over 4, because another kernel serves it;
on a CPU every token costs. So passes are timed as they happen, and acceptance is counted per request.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

WIDTHS: Final = (2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Widths of a pass that verifies a draft: the last token and the drafted ones. Each width needs its own kernels."""

MIN_GAIN: Final = 1.1
"""The expected speed-up that a verifying pass needs over plain decoding, which does not depend on luck."""

_DECAY: Final = 0.95
"""The weight that earlier counts keep after each new one: about the last twenty matter."""

_PRIORS: Final = ((0, 0.1), (2, 0.15), (3, 0.3), (4, 0.6), (8, 0.85), (16, 0.93), (32, 0.97))
"""(match length, acceptance rate) at the start of a request, for matches of at least that length."""
_PRIOR_WEIGHT: Final = 3.0

_BUCKETS: Final = tuple(
    max(index for index, (min_length, _) in enumerate(_PRIORS) if min_length <= length)
    for length in range(_PRIORS[-1][0] + 1)
)

_COST_OF_ONE_MORE: Final = 0.08
"""The assumed cost of one more token in an untimed width, as a share of a plain pass: low, so that it is tried."""
_RECENT_TIMES: Final = 7
_STALE_AFTER_PASSES: Final = 300


class MatchAcceptance:
    """The acceptance rate of one request's drafts, by how many tokens before the draft match its source.

    Tokens that were decoded plainly count as well: the source would have been right or wrong about them.
    """

    def __init__(self) -> None:
        self._hits = [chance * _PRIOR_WEIGHT for _, chance in _PRIORS]
        self._tries = [_PRIOR_WEIGHT] * len(_PRIORS)

    def as_prior(self) -> MatchAcceptance:
        """Starting rates for an answer, given these rates of its prompt: never below the usual ones.

        A prompt that repeats itself is likely to be repeated. One that does not may still be copied.
        """
        prior = MatchAcceptance()
        for bucket, (_, usual) in enumerate(_PRIORS):
            prior._hits[bucket] = _PRIOR_WEIGHT * max(usual, self._hits[bucket] / self._tries[bucket])
        return prior

    def note(self, match_length: int, *, hit: bool) -> None:
        bucket = _bucket(match_length)
        self._hits[bucket] = self._hits[bucket] * _DECAY + hit
        self._tries[bucket] = self._tries[bucket] * _DECAY + 1.0

    def chance(self, match_length: int) -> float:
        """The probability from 0.0 to 1.0 that the source's next token is accepted."""
        bucket = _bucket(match_length)
        return self._hits[bucket] / self._tries[bucket]

    def expected(self, match_length: int, max_tokens: int) -> list[float]:
        """The expected tokens of a verifying pass: at [n] with n tokens drafted, for n up to `max_tokens`."""
        sums, chance = [1.0], 1.0
        for _ in range(max_tokens):
            chance *= self.chance(match_length)
            sums.append(sums[-1] + chance)
            match_length += 1
        return sums


class Passes:
    """How many passes were timed so far, whatever their number of rows."""

    def __init__(self) -> None:
        self.num = 0


class PassCosts:
    """Seconds of a forward pass by its width in tokens, learned from the passes themselves.

    The first pass of a width compiles kernels and is not counted. Stale widths are forgotten, so that they are tried
    again. `elsewhere` knows what share of a plain pass's time a width takes with other numbers of rows.
    """

    def __init__(self, passes: Passes | None = None, elsewhere: Callable[[int], float | None] | None = None) -> None:
        self._times: dict[int, deque[float]] = {}
        self._medians: dict[int, float] = {}
        self._noted_at: dict[int, int] = {}
        self._warm: set[int] = set()
        self._passes = passes or Passes()
        self._elsewhere = elsewhere

    def note(self, width: int, seconds: float) -> None:
        self._passes.num += 1
        if width not in self._warm:
            self._warm.add(width)
            return
        times = self._times.setdefault(width, deque(maxlen=_RECENT_TIMES))
        times.append(seconds)
        self._medians[width] = statistics.median(times)
        self._noted_at[width] = self._passes.num
        for stale in [each for each in self._medians if self._is_stale(each)]:
            del self._medians[stale], self._times[stale], self._noted_at[stale]

    def _is_stale(self, width: int) -> bool:
        return width != 1 and self._passes.num - self._noted_at[width] > _STALE_AFTER_PASSES

    def seconds(self, width: int) -> float | None:
        """The median if measured, else interpolated between measured widths; None until plain passes are measured."""
        medians = self._medians
        if width in medians:
            return medians[width]
        if 1 not in medians:
            return None
        below = max(each for each in medians if each < width)
        above = min((each for each in medians if each > width), default=None)
        if above is not None:
            return medians[below] + (medians[above] - medians[below]) * (width - below) / (above - below)
        share = self._elsewhere(width) if self._elsewhere is not None else None
        if share is not None:
            return share * medians[1]
        return medians[below] + medians[1] * _COST_OF_ONE_MORE * (width - below)

    def share(self, width: int) -> float | None:
        """What a pass of that width takes over a plain one, if both were timed lately."""
        if width not in self._medians or 1 not in self._medians or self._is_stale(width):
            return None
        return self._medians[width] / self._medians[1]


def best_width(expected: Sequence[Sequence[float]], seconds: Callable[[int], float | None]) -> int:
    """The width of the pass with the most tokens per second over all rows; 1 means plain decoding.

    `expected` has one row per request in the batch: at [n] its expected tokens with n drafted.
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
