"""A generation that has its place in the batch."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.values.vocabulary import Reservation
from pensieve.core.prefixes.sharing import OngoingPrefill
from pensieve.engine.requests.output import Output
from pensieve.engine.requests.ticket import Ticket


@dataclass(slots=True)
class RunningRequest:
    """A ticket in the batch, what it said, and the bytes that are its own until it ends.

    `num_prefilled` tokens of its prompt are computed; `cached_tokens` of them were in the store. `stops` are the places at
    which states are kept, where they cannot be cut.
    """

    uid: int
    ticket: Ticket
    output: Output
    reservation: Reservation
    cached_tokens: int
    num_prefilled: int
    stops: tuple[int, ...] | None

    @property
    def prefill(self) -> OngoingPrefill:
        return OngoingPrefill(self.uid, self.ticket.prompt_token_ids, self.num_prefilled, self.stops)

    @property
    def promised_tokens(self) -> int:
        """What memory is reserved for."""
        return self.ticket.max_total_tokens

    @property
    def is_prefilling(self) -> bool:
        return self.num_prefilled < len(self.ticket.prompt_token_ids)
