"""RequestHandler: from a decoded request to the events of a message (S1)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from contracts.clauses import ensures, raises_only, yields
from contracts.streams.message_stream import StreamMonitor
from contracts.values.vocabulary import ErrorKind, GenerationRequest, MessageEvent


class RequestHandler(Protocol):
    """Answers requests that are decoded and authenticated, in the form of the Messages API's stream."""

    @ensures("RH-1", "the answer is yes or no", lambda result: isinstance(result, bool))
    @raises_only("RH-2", "asking cannot fail")
    async def can_handle_request(self, request: GenerationRequest) -> bool:
        """Whether a request that came now would find a place. It takes none."""

    @yields("RH-3", "the events follow the transition table of contracts.streams.message_stream", StreamMonitor)
    @raises_only(
        "RH-4",
        "what fails before the first event fails with a known error; after it, the stream says so itself",
        ErrorKind.VALIDATION,
        ErrorKind.INSUFFICIENT_MEMORY,
        ErrorKind.OVERLOADED,
        ErrorKind.NOT_FOUND,
        ErrorKind.GENERATION,
        ErrorKind.DEVICE,
    )
    def handle_request(self, request: GenerationRequest, model_name: str) -> AsyncGenerator[MessageEvent, None]:
        """The events of one message. `model_name` is echoed, as the client wrote it.

        A failure after the first event is the stream's last event, of type `error`.

        Raises:
            VALIDATION, INSUFFICIENT_MEMORY, OVERLOADED, GENERATION, DEVICE: before the first event.
        """
