"""A request that has a row in the batch."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.values.vocabulary import Reservation
from pensieve.core.prefixes.boundary import Boundary
from pensieve.core.prefixes.sharing import PrefillProgress
from pensieve.engine.requests.output import Output
from pensieve.engine.requests.ticket import Ticket


@dataclass(slots=True)
class RunningRequest:
    """A ticket with its row, its output and the memory reserved for it until it ends.

    `num_prefilled` tokens of its prompt are computed, of which `cached_tokens` came from the prompt cache. `stops` are
    the offsets at which snapshots are taken, for caches that cannot be cut: the `boundaries`, which may be more than
    the prompt's own.
    """

    uid: int
    ticket: Ticket
    output: Output
    reservation: Reservation
    cached_tokens: int
    num_prefilled: int
    stops: tuple[int, ...] | None
    boundaries: tuple[Boundary, ...] = ()

    @property
    def prefill(self) -> PrefillProgress:
        return PrefillProgress(self.uid, self.ticket.prompt.token_ids, self.num_prefilled, self.stops)

    @property
    def reserved_tokens(self) -> int:
        return self.ticket.progress.max_total_tokens

    @property
    def is_prefilling(self) -> bool:
        return self.num_prefilled < len(self.ticket.prompt.token_ids)
