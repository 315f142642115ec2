"""Chooses the fastest of a few settings by timing them in use."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Hashable, Sequence
from typing import Final, Generic, TypeVar

S = TypeVar("S", bound=Hashable)

TRIES: Final = 5
"""Timed uses of each setting before the choice."""
RETUNE_AFTER: Final = 1000
"""Uses until the settings are timed again, because another may have become faster."""

MAX_RATIO: Final = 0.95
"""A setting replaces the first one only if its median time is below this share of the first one's."""
GIVE_UP_RATIO: Final = 3.0
"""A setting that once takes so much longer than another is not tried again soon: on busy cores, a step with a thread
for each may take ten times as long, and a stream waits for each try.
"""
_MAX_LOSSES: Final = 6


class Autotuner(Generic[S]):
    """Times `settings` in their order, then uses the first one, or another whose median time is clearly shorter.

    Later, the one in use is timed first. One that was given up rests for twice as long each time.
    """

    def __init__(self, settings: Sequence[S]) -> None:
        self._seconds: dict[S, list[float]] = {setting: [] for setting in settings}
        self._num_losses = dict.fromkeys(settings, 0)
        self._num_rests = dict.fromkeys(settings, 0)
        self._best = settings[0]
        self._is_chosen = False
        """Whether all settings have been timed once."""
        self._num_uses = 0

    def choose(self, may_use: Callable[[S], bool] = lambda _: True) -> S:
        """The setting to use next, of those that may be used now. The first one always may."""
        usable = [each for each in (self._best, *self._seconds) if may_use(each)]
        untimed = (each for each in usable if len(self._seconds[each]) < TRIES)
        return next(untimed, None) or self.best(may_use)

    def best(self, may_use: Callable[[S], bool] = lambda _: True) -> S:
        """The best that is known, without a trial."""
        if self._is_chosen and may_use(self._best):
            return self._best
        timed = [each for each in self._seconds if may_use(each) and len(self._seconds[each]) == TRIES]
        return self._best_by_median(timed) if timed else next(iter(self._seconds))

    def note(self, setting: S, seconds: float) -> None:
        """Record how long one use of `setting` took."""
        times = self._seconds[setting]
        if len(times) < TRIES:
            is_given_up = self._is_slow(setting, seconds)
            times += [seconds] * (TRIES - len(times) if is_given_up else 1)
            if len(times) == TRIES:
                self._rest(setting, is_given_up=is_given_up)
            if all(len(each) == TRIES for each in self._seconds.values()):
                self._best, self._is_chosen = self._best_by_median(list(self._seconds)), True
        self._num_uses += 1
        if self._num_uses % RETUNE_AFTER == 0:
            self._time_again()

    def _is_slow(self, setting: S, seconds: float) -> bool:
        others = [times for each, times in self._seconds.items() if each != setting and len(times) == TRIES]
        return any(seconds > GIVE_UP_RATIO * statistics.median(times) for times in others)

    def _rest(self, setting: S, *, is_given_up: bool) -> None:
        losses = min(self._num_losses[setting] + 1, _MAX_LOSSES) if is_given_up else 0
        self._num_losses[setting], self._num_rests[setting] = losses, 2**losses - 1

    def _time_again(self) -> None:
        for setting in self._seconds:
            if not self._num_rests[setting]:
                self._seconds[setting] = []
            self._num_rests[setting] = max(0, self._num_rests[setting] - 1)

    def _best_by_median(self, settings: Sequence[S]) -> S:
        medians = {setting: statistics.median(self._seconds[setting]) for setting in settings}
        first = next(iter(medians))
        best = min(medians, key=lambda each: medians[each])
        return best if medians[best] < MAX_RATIO * medians[first] else first
