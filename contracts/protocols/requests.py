"""RequestHandler: from a decoded request to the events of a message (S1)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from contracts.clauses import ensures, raises_only, yields
from contracts.streams.message_stream import StreamMonitor
from contracts.values.vocabulary import ErrorKind, GenerationRequest, MessageEvent


class RequestHandler(Protocol):
    """Answers decoded and authenticated requests with the events of a Messages stream."""

    @ensures("RH-1", "the answer is a bool", lambda result: isinstance(result, bool))
    @raises_only("RH-2", "checking never fails")
    async def can_handle_request(self, request: GenerationRequest) -> bool:
        """Whether a request that arrived now would be accepted. This reserves nothing."""

    @yields("RH-3", "the events follow the transition table of contracts.streams.message_stream", StreamMonitor)
    @raises_only(
        "RH-4",
        "a failure before the first event raises a documented error; after it, the stream reports the failure itself",
        ErrorKind.VALIDATION,
        ErrorKind.INSUFFICIENT_MEMORY,
        ErrorKind.OVERLOADED,
        ErrorKind.NOT_FOUND,
        ErrorKind.GENERATION,
        ErrorKind.DEVICE,
    )
    def handle_request(self, request: GenerationRequest, model_name: str) -> AsyncGenerator[MessageEvent, None]:
        """The events of one message. `model_name` is echoed exactly as the client wrote it.

        A failure after the first event becomes the stream's last event, of type `error`.

        Raises:
            VALIDATION, INSUFFICIENT_MEMORY, OVERLOADED, GENERATION, DEVICE: before the first event.
        """
