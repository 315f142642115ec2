"""What one model's forward passes cost, and what speculation has gained with them so far."""

from __future__ import annotations

from functools import partial

from contracts.values.measurements import SpeculationCounts
from pensieve.core.drafts.length import PassCosts, Passes


class Pace:
    """Measured costs of a model's passes, by the number of rows in them, and the speculation counters.

    Outlives batches. `counts` may be read from any thread.
    """

    def __init__(self) -> None:
        self._costs: dict[int, PassCosts] = {}
        self._passes = Passes()
        self.counts = SpeculationCounts()

    def costs(self, num_rows: int) -> PassCosts:
        if num_rows not in self._costs:
            self._costs[num_rows] = PassCosts(self._passes, partial(self._share_elsewhere, num_rows))
        return self._costs[num_rows]

    def _share_elsewhere(self, num_rows: int, width: int) -> float | None:
        """The share with the number of rows nearest to this one. Without it, each width would be tried with each number
        of rows, and with sixteen rows on a GPU a pass that checks drafts took as long as three to five plain ones.
        """
        shares = {rows: share for rows, costs in self._costs.items() if (share := costs.share(width)) is not None}
        return shares[min(shares, key=lambda rows: abs(rows - num_rows))] if shares else None

    def count(self, *, passes: int, tokens: int, proposed: int = 0, accepted: int = 0) -> None:
        old = self.counts
        self.counts = SpeculationCounts(
            old.proposed + proposed, old.accepted + accepted, old.passes + passes, old.tokens + tokens
        )
