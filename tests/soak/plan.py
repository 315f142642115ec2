"""What happens when in a soak of a given length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pensieve.cli.serve.freed_memory import IDLE_SECONDS

MINUTE: Final = 60.0
MIN_KILL_SECONDS: Final = 8.0
"""A start takes a few seconds of CPU time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A run of less than an hour has the same events at proportionally shorter intervals."""

    seconds: float
    with_embedded: bool = True

    @property
    def scale(self) -> float:
        return min(1.0, self.seconds / (60 * MINUTE))

    @property
    def kill_seconds(self) -> float:
        """Between two kills of the second server."""
        return max(MIN_KILL_SECONDS, 10 * MINUTE * self.scale)

    @property
    def level_seconds(self) -> float:
        """When the levels are taken that the last ones are compared with."""
        return 10 * MINUTE * self.scale

    @property
    def measure_seconds(self) -> float:
        """Between two measurements of a server that rests for a moment."""
        return 10 * MINUTE * self.scale

    @property
    def rest_seconds(self) -> float:
        """How long it rests before, without a request: until the server has returned what was freed."""
        return max(2.0, (IDLE_SECONDS + 2) * self.scale)

    @property
    def full_disk(self) -> tuple[float, float]:
        """When the disk is full, and for how long. Between two kills of a run of an hour, the second has 5 minutes."""
        return 22 * MINUTE * self.scale, 5 * MINUTE * self.scale

    @property
    def stopped_seconds(self) -> float:
        """How long a client stays stopped: longer than a server waits for it."""
        return 90 * max(self.scale, 1 / 90)
