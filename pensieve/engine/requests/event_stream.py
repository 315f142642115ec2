"""The events of one generation, on their way from the MLX thread to any number of readers on the event loop."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable

from contracts.values.generation import GenerationEvent, GenerationFinished


class EventStream:
    """Belongs to the event loop, except for `admit` and for `is_abandoned`, which the MLX thread reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.is_admitted = False
        """The request has started, or waits for others."""
        self.is_abandoned = False
        """The last reader has left. It stays so: no client joins a request that is about to be cancelled."""
        self._num_readers = 0
        self._events: list[GenerationEvent | Exception] = []
        self._has_more = asyncio.Event()
        """Set, and replaced by a new one, whenever events arrive."""

    @property
    def has_ended(self) -> bool:
        """Whether all events have arrived, read or not."""
        return bool(self._events) and isinstance(self._events[-1], GenerationFinished | Exception)

    async def admission(self) -> None:
        """Wait until the request starts or has to wait for others.

        Raises:
            PensieveError: it is refused instead: nothing has been sent yet, so that the refusal keeps its status.
        """
        while not (self.is_admitted or self._events):
            await self._has_more.wait()
        if self._events and isinstance(self._events[0], Exception):
            raise self._events[0]

    def admit(self) -> None:
        """For the MLX thread. More than one call has no effect."""
        if not self.is_admitted and not self.loop.is_closed():
            self.is_admitted = True
            self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._has_more.set()
        self._has_more = asyncio.Event()

    def put(self, event: GenerationEvent | Exception) -> None:
        """Add an event, unless the last one has arrived already."""
        if not self.has_ended:
            self._events.append(event)
            self._wake()

    def add_reader(self) -> None:
        self._num_readers += 1

    def remove_reader(self) -> None:
        self._num_readers -= 1
        self.is_abandoned = not self._num_readers

    async def read(self) -> AsyncGenerator[GenerationEvent, None]:
        """All events from the first on, as they arrive. Several readers may read the same stream.

        Raises:
            PensieveError: the generation failed.
        """
        for number in itertools.count():
            while number == len(self._events):
                await self._has_more.wait()
            event = self._events[number]
            if isinstance(event, Exception):
                raise event
            yield event
            if isinstance(event, GenerationFinished):
                return


Delivery = tuple[EventStream, GenerationEvent | Exception]
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
    for stream, event in deliveries:
        stream.put(event)
