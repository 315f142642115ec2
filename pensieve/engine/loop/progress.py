"""How far the generation loop has come, for other threads to read."""

from __future__ import annotations

from typing import Final

_DECAY: Final = 0.99
"""A slow step is forgotten after a few hundred faster ones."""


class LoopProgress:
    """Written by the MLX thread alone. Each attribute may be read from any thread."""

    def __init__(self) -> None:
        self.num_produced = 0
        """Steps that prefilled or sampled something, and requests that the loop refused."""
        self.slowest_step_seconds = 0.0
        """Of the recent steps; 0 before the first."""

    def note_step(self, seconds: float) -> None:
        self.slowest_step_seconds = max(seconds, _DECAY * self.slowest_step_seconds)
        self.num_produced += 1

    def note_refusal(self) -> None:
        self.num_produced += 1
