"""What one model's forward passes cost, and what speculation has gained with them so far."""

from __future__ import annotations

from contracts.values.measurements import SpeculationCounts
from pensieve.core.drafts.length import PassCosts


class Pace:
    """Measured costs of a model's passes, by the number of rows in them, and the speculation counters.

    Outlives batches. `counts` may be read from any thread.
    """

    def __init__(self) -> None:
        self._costs: dict[int, PassCosts] = {}
        self.counts = SpeculationCounts()

    def costs(self, num_rows: int) -> PassCosts:
        return self._costs.setdefault(num_rows, PassCosts())

    def count(self, *, passes: int, tokens: int, proposed: int = 0, accepted: int = 0) -> None:
        old = self.counts
        self.counts = SpeculationCounts(
            old.proposed + proposed, old.accepted + accepted, old.passes + passes, old.tokens + tokens
        )
