"""A ticket: one generation, from its acceptance to its one end. What the event loop and the MLX thread share."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.values.generation import GenerationEvent, GenerationFinished, Usage
from contracts.values.vocabulary import GenerationRequest
from pensieve.core.prefixes.boundary import Boundary

if TYPE_CHECKING:
    from llguidance import LLMatcher

    from pensieve.engine.prompt_cache.answer_memory import AnswerMemory

PROGRESS_INTERVAL_TOKENS = 10

_numbers = itertools.count(1)


@dataclass(eq=False, slots=True)
class Ticket:
    """`events`, `news` and `num_readers` belong to the event loop, everything else to the thread that computes;
    `cancelled` is set by one and read by the other, and never unset.
    """

    request: GenerationRequest
    prompt_token_ids: list[int]
    starts_thinking: bool = False
    matcher: LLMatcher | None = None
    """The grammar that the answer is held to. A copy of its own."""
    boundaries: tuple[Boundary, ...] = ()
    """Where in the prompt it is worth keeping what was computed."""
    answers: AnswerMemory | None = None
    """Where the answer is remembered, to stand in later prompts as the tokens that it is."""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    number: int = field(default_factory=lambda: next(_numbers))
    accepted_at: float = field(default_factory=time.monotonic)
    first_token_at: float | None = None
    output_tokens: int = 0
    cached_at_first: int = 0
    """Tokens of the prompt that were in the store when the ticket was made; `differs_in` says what comes after them."""
    differs_in: str = ""
    cached_tokens: int = 0
    """Those that were there when it was its turn."""
    stored_5m_tokens: int = 0
    stored_1h_tokens: int = 0
    cancelled: bool = False
    num_readers: int = 0
    events: list[GenerationEvent | Exception] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced by another, when there are more events."""

    @property
    def max_total_tokens(self) -> int:
        """Of prompt and answer together."""
        return len(self.prompt_token_ids) + self.request.max_tokens

    @property
    def usage(self) -> Usage:
        return Usage(
            len(self.prompt_token_ids),
            self.output_tokens,
            self.cached_tokens,
            self.stored_5m_tokens,
            self.stored_1h_tokens,
        )

    async def stream(self) -> AsyncGenerator[GenerationEvent, None]:
        """The events from the first to the last, as they are delivered. There may be several readers.

        Raises:
            PensieveError: what the thread delivered instead of an event.
        """
        for number in itertools.count():
            if number == len(self.events):
                await self.news.wait()
            event = self.events[number]
            if isinstance(event, Exception):
                raise event
            yield event
            if isinstance(event, GenerationFinished):
                return

    def count_token(self) -> bool:
        """One more token is sampled; whether a progress record is due."""
        self.output_tokens += 1
        if self.first_token_at is None:
            self.first_token_at = time.monotonic()
        return self.output_tokens % PROGRESS_INTERVAL_TOKENS == 0


Delivery = tuple[Ticket, GenerationEvent | Exception]


def deliver(deliveries: list[Delivery]) -> None:
    """Hand a step's events to their streams: one hop to each event loop, however many tickets it has.

    Called on the thread that computes. A loop that is closed has nobody left to tell.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[Delivery]] = {}
    for delivery in deliveries:
        by_loop.setdefault(delivery[0].loop, []).append(delivery)
    for loop, theirs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_put_all, theirs)


def _put_all(deliveries: list[Delivery]) -> None:
    for ticket, event in deliveries:
        ticket.events.append(event)
        ticket.news.set()
        ticket.news = asyncio.Event()
