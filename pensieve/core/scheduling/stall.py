"""Whether an engine that has work produces nothing for longer than its own pace explains."""

from __future__ import annotations

from typing import Final

SLOWEST_STEPS: Final = 20
"""A stall takes at least this many times the slowest recent step."""
UNMEASURED: Final = 5
"""Before the first step there is no pace: then a stall takes this many times the minimum."""


class StallClock:
    """A stall takes at least `min_seconds`, and longer on a machine whose steps are slow."""

    def __init__(self, min_seconds: float) -> None:
        self._min_seconds = min_seconds
        self._num_produced = 0
        self.seconds = 0.0
        """How long there has been work and no progress."""

    def tick(self, seconds: float, *, has_work: bool, num_produced: int, slowest_step_seconds: float) -> bool:
        """Note that `seconds` have passed. `num_produced` grows with each step that produced something.

        Returns whether the engine has stalled.
        """
        if not has_work or num_produced != self._num_produced:
            self.seconds = 0.0
        else:
            self.seconds += seconds
        self._num_produced = num_produced
        return self.seconds >= self._limit_seconds(slowest_step_seconds)

    def _limit_seconds(self, slowest_step_seconds: float) -> float:
        if not slowest_step_seconds:
            return UNMEASURED * self._min_seconds
        return max(self._min_seconds, SLOWEST_STEPS * slowest_step_seconds)
