"""Which of a few settings is the quickest, found out while the work goes on."""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Sequence
from typing import Final, Generic, TypeVar

S = TypeVar("S", bound=Hashable)

TRIES: Final = 5
"""Of each setting, timed one after the other, before one is taken for the quickest."""
TRIED_AGAIN_AFTER: Final = 1000
"""Uses: the others may have become quicker."""

CLEARLY: Final = 0.95
"""Of the first setting's time: what is saved has to be worth the change."""


class Autotuner(Generic[S]):
    """`settings` are tried in their order; then the first is used, or another that is clearly quicker by its median.
    Now and then all are tried again.
    """

    def __init__(self, settings: Sequence[S]) -> None:
        self._seconds: dict[S, list[float]] = {setting: [] for setting in settings}
        self._best = settings[0]
        self._num_uses = 0

    def choose(self) -> S:
        """What to work with next."""
        return next((each for each, seconds in self._seconds.items() if len(seconds) < TRIES), self._best)

    def note(self, setting: S, seconds: float) -> None:
        """Work with `setting` took so long."""
        if len(self._seconds[setting]) < TRIES:
            self._seconds[setting].append(seconds)
            if all(len(each) == TRIES for each in self._seconds.values()):
                self._best = self._clearly_best()
        self._num_uses += 1
        if self._num_uses % TRIED_AGAIN_AFTER == 0:
            self._seconds = {each: [] for each in self._seconds}

    def _clearly_best(self) -> S:
        medians = {setting: statistics.median(seconds) for setting, seconds in self._seconds.items()}
        first = next(iter(medians))
        best = min(medians, key=lambda each: medians[each])
        return best if medians[best] < CLEARLY * medians[first] else first
