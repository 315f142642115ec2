"""A generation that has its place in the batch."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.values.vocabulary import Reservation
from pensieve.core.prefixes.sharing import PrefillProgress
from pensieve.engine.requests.output import Output
from pensieve.engine.requests.ticket import Ticket


@dataclass(slots=True)
class RunningRequest:
    """A ticket in the batch, what it said, and the bytes that are its own until it ends.

    `num_read` tokens of its prompt are computed; `known_tokens` of them were in the store. `stops` are the places at
    which states are kept, where they cannot be cut.
    """

    uid: int
    ticket: Ticket
    output: Output
    reservation: Reservation
    known_tokens: int
    num_read: int
    stops: tuple[int, ...] | None

    @property
    def reading(self) -> PrefillProgress:
        return PrefillProgress(self.uid, self.ticket.prompt_token_ids, self.num_read, self.stops)

    @property
    def promised_tokens(self) -> int:
        """What memory is reserved for."""
        return self.ticket.max_total_tokens

    @property
    def is_reading(self) -> bool:
        return self.num_read < len(self.ticket.prompt_token_ids)
