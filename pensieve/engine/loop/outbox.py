"""The events that a turn of the loop produced, until they are delivered to their streams."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.values.generation import GenerationEvent
from pensieve.core.errors import GenerationError
from pensieve.engine.loop.faults import Faults
from pensieve.engine.requests.event_stream import Deliver, Delivery, EventStream


class Outbox:
    def __init__(self, deliver: Deliver, faults: Faults) -> None:
        self._deliver = deliver
        self._faults = faults
        self._deliveries: list[Delivery] = []

    def __bool__(self) -> bool:
        return bool(self._deliveries)

    def add(self, stream: EventStream, events: Iterable[GenerationEvent | Exception]) -> None:
        self._deliveries += [(stream, event) for event in events]

    def flush(self) -> set[EventStream]:
        """Deliver everything. Returns the streams that have a gap because that failed: the next flush ends them with
        an error.

        Raises:
            LoopFailedError: it has failed several times in a row.
        """
        deliveries, self._deliveries = self._deliveries, []
        if not deliveries:
            return set()
        try:
            self._deliver(deliveries)
        except Exception:
            streams = {stream for stream, _ in deliveries}
            self._deliveries = [(stream, GenerationError("the answer's events were lost")) for stream in streams]
            self._faults.count("delivering events, and with it their requests,")
            return streams
        if not all(isinstance(event, Exception) for _, event in deliveries):
            self._faults.note_token()
        return set()
