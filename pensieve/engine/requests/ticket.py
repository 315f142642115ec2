"""A ticket: one generation from acceptance to end, shared by the event loop and the thread that owns MLX."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.values.generation import GenerationEvent, GenerationFinished, Usage
from contracts.values.measurements import RequestProgress, RequestStage
from contracts.values.vocabulary import GenerationRequest
from pensieve.core.prefixes.boundary import Boundary

if TYPE_CHECKING:
    from llguidance import LLMatcher

    from pensieve.engine.prompt_cache.answer_memory import AnswerMemory

PROGRESS_INTERVAL_TOKENS = 10

_numbers = itertools.count(1)


@dataclass(eq=False, slots=True)
class Ticket:
    """`events`, `has_events` and `num_readers` belong to the event loop, everything else to the MLX thread.

    The event loop sets `cancelled`, and the MLX thread reads it. It is never unset.
    """

    request: GenerationRequest
    prompt_token_ids: list[int]
    starts_thinking: bool = False
    matcher: LLMatcher | None = None
    """The grammar that constrains the answer; this ticket's own copy."""
    window_tokens: int = sys.maxsize
    """The most tokens that prompt and answer may have together, whatever `max_tokens` is; fewer if memory is short."""
    boundaries: tuple[Boundary, ...] = ()
    """Where in the prompt computed state is worth storing."""
    answers: AnswerMemory | None = None
    """Remembers the answer's token ids, so that later prompts contain exactly those."""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    number: int = field(default_factory=lambda: next(_numbers))
    accepted_at: float = field(default_factory=time.monotonic)
    first_token_at: float | None = None
    output_tokens: int = 0
    thinking_tokens: int = 0
    cached_at_first: int = 0
    """Prompt tokens in the prompt cache when the request arrived. `differs_in` names the part that follows them."""
    differs_in: str = ""
    cached_tokens: int = 0
    """Prompt tokens in the prompt cache when the request was admitted."""
    prefilled_tokens: int | None = None
    """Prompt tokens computed or read so far. None before it has a row."""
    stored_5m_tokens: int = 0
    stored_1h_tokens: int = 0
    cancelled: bool = False
    is_admitted: bool = False
    """The request has started, or waits for others."""
    num_readers: int = 0
    events: list[GenerationEvent | Exception] = field(default_factory=list)
    has_events: asyncio.Event = field(default_factory=asyncio.Event)
    """Set, and replaced by a new one, whenever events arrive."""
    _last_token_at: float = 0.0
    _intervals_seconds: list[float] = field(default_factory=list)

    @property
    def namespace(self) -> str:
        """Of the prompt cache: only requests of the same one share what is computed."""
        return self.request.client.namespace

    @property
    def fingerprint(self) -> int:
        """The same for a request that is sent again."""
        return hash((tuple(self.prompt_token_ids), self.request.max_tokens))

    @property
    def max_total_tokens(self) -> int:
        """The tokens of the prompt and of the longest possible answer."""
        return min(len(self.prompt_token_ids) + self.request.max_tokens, self.window_tokens)

    @property
    def max_answer_tokens(self) -> int:
        """The request's `max_tokens`, or what the prompt leaves of the window."""
        return self.max_total_tokens - len(self.prompt_token_ids)

    @property
    def is_limited_by_window(self) -> bool:
        return self.max_answer_tokens < self.request.max_tokens

    @property
    def usage(self) -> Usage:
        return Usage(
            len(self.prompt_token_ids),
            self.output_tokens,
            self.cached_tokens,
            self.stored_5m_tokens,
            self.stored_1h_tokens,
            self.thinking_tokens,
        )

    def progress(self) -> RequestProgress:
        """For the event loop, from the figures that the MLX thread has set so far."""
        first = self.first_token_at
        return RequestProgress(
            stage=self._stage(),
            prompt_tokens=len(self.prompt_token_ids),
            cached_tokens=self.cached_tokens,
            prefilled_tokens=self.prefilled_tokens or 0,
            output_tokens=self.output_tokens,
            max_output_tokens=self.max_answer_tokens,
            seconds=time.monotonic() - self.accepted_at,
            first_token_seconds=None if first is None else first - self.accepted_at,
            differs_in=self.differs_in,
            client=self.request.client,
        )

    def _stage(self) -> RequestStage:
        if self.has_ended:
            return RequestStage.ENDED
        if self.output_tokens:
            return RequestStage.ANSWERING
        return RequestStage.WAITING if self.prefilled_tokens is None else RequestStage.PREFILLING

    @property
    def has_ended(self) -> bool:
        """Whether all events have arrived, read or not. For the event loop."""
        return bool(self.events) and isinstance(self.events[-1], GenerationFinished | Exception)

    async def admission(self) -> None:
        """Wait until the request starts or has to wait for others.

        Raises:
            PensieveError: it is refused instead: nothing has been sent yet, so that the refusal keeps its status.
        """
        while not (self.is_admitted or self.events):
            await self.has_events.wait()
        if self.events and isinstance(self.events[0], Exception):
            raise self.events[0]

    def admit(self) -> None:
        """For the MLX thread. More than one call has no effect."""
        if not self.is_admitted and not self.loop.is_closed():
            self.is_admitted = True
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self.has_events.set()
        self.has_events = asyncio.Event()

    def put(self, event: GenerationEvent | Exception) -> None:
        """Add an event, unless the last one has arrived already. Call on the event loop."""
        if not self.has_ended:
            self.events.append(event)
            self._wake()

    async def stream(self) -> AsyncGenerator[GenerationEvent, None]:
        """All events from the first on, as they arrive. Several readers may stream the same ticket.

        Raises:
            PensieveError: the generation failed.
        """
        for number in itertools.count():
            while number == len(self.events):
                await self.has_events.wait()
            event = self.events[number]
            if isinstance(event, Exception):
                raise event
            yield event
            if isinstance(event, GenerationFinished):
                return

    def count_token(self) -> bool:
        """Count one more sampled token. Returns whether a progress record is due.

        With a max_tokens of 0, the token that ends the prompt's computation is not part of any answer.
        """
        if not self.request.max_tokens:
            return False
        self.output_tokens += 1
        now = time.monotonic()
        if self.first_token_at is None:
            self.first_token_at = now
        else:
            self._intervals_seconds.append(now - self._last_token_at)
        self._last_token_at = now
        return self.output_tokens % PROGRESS_INTERVAL_TOKENS == 0

    def take_intervals(self) -> tuple[float, ...]:
        """The seconds between tokens since the last call, which are at most those of two progress records."""
        taken, self._intervals_seconds = tuple(self._intervals_seconds), []
        return taken


Delivery = tuple[Ticket, GenerationEvent | Exception]
Deliver = Callable[[list[Delivery]], None]


def deliver(deliveries: list[Delivery]) -> None:
    """Pass a step's events to their streams, with one call per event loop. Call on the MLX thread.

    Events for a closed loop are dropped: it has no readers left.
    """
    by_loop: dict[asyncio.AbstractEventLoop, list[Delivery]] = {}
    for delivery in deliveries:
        by_loop.setdefault(delivery[0].loop, []).append(delivery)
    for loop, of_loop in by_loop.items():
        try:
            loop.call_soon_threadsafe(_put_all, of_loop)
        except RuntimeError:
            if not loop.is_closed():
                raise


def _put_all(deliveries: list[Delivery]) -> None:
    for ticket, event in deliveries:
        ticket.put(event)
