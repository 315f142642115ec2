"""Chooses the fastest of a few settings by timing them in use."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Sequence
from typing import Final, Generic, TypeVar

S = TypeVar("S", bound=Hashable)

TRIES: Final = 5
"""Timed uses of each setting before the choice."""
RETUNE_AFTER: Final = 1000
"""Uses until the settings are timed again, because another may have become faster."""

MAX_RATIO: Final = 0.95
"""A setting replaces the first one only if its median time is below this share of the first one's."""


class Autotuner(Generic[S]):
    """Times `settings` in their order, then uses the first one, or another whose median time is clearly shorter."""

    def __init__(self, settings: Sequence[S]) -> None:
        self._seconds: dict[S, list[float]] = {setting: [] for setting in settings}
        self._best = settings[0]
        self._num_uses = 0

    def choose(self) -> S:
        """The setting to use next."""
        return next((each for each, seconds in self._seconds.items() if len(seconds) < TRIES), self._best)

    def note(self, setting: S, seconds: float) -> None:
        """Record how long one use of `setting` took."""
        if len(self._seconds[setting]) < TRIES:
            self._seconds[setting].append(seconds)
            if all(len(each) == TRIES for each in self._seconds.values()):
                self._best = self._best_by_median()
        self._num_uses += 1
        if self._num_uses % RETUNE_AFTER == 0:
            self._seconds = {each: [] for each in self._seconds}

    def _best_by_median(self) -> S:
        medians = {setting: statistics.median(seconds) for setting, seconds in self._seconds.items()}
        first = next(iter(medians))
        best = min(medians, key=lambda each: medians[each])
        return best if medians[best] < MAX_RATIO * medians[first] else first
