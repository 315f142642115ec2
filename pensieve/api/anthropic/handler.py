"""Generates the events of a message. Implements `contracts.protocols.requests.RequestHandler`."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Protocol

from contracts.values.generation import GenerationEvent, GenerationStarted
from contracts.values.vocabulary import GenerationRequest, MessageEvent
from pensieve.api.anthropic.events import PING, MessageEvents
from pensieve.api.anthropic.tools.failing_calls import with_failing_calls
from pensieve.api.http.error_reply import error_body
from pensieve.api.http.pings import with_pings
from pensieve.core.errors import PensieveError

log = logging.getLogger(__name__)


class AnsweringModel(Protocol):
    """The part of a model that MessageHandler needs."""

    async def can_admit(self) -> bool: ...

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]: ...


class MessageHandler:
    """Converts the model's events to wire events in the order that `contracts.streams.message_stream` requires.

    `on_start` is called when the request is accepted, before its first event.
    """

    def __init__(
        self,
        model: AnsweringModel,
        *,
        ping_interval_seconds: float,
        on_start: Callable[[GenerationStarted], None] = lambda _: None,
    ) -> None:
        self._model = model
        self._on_start = on_start
        self._ping_interval_seconds = ping_interval_seconds

    async def can_handle_request(self, request: GenerationRequest) -> bool:  # noqa: ARG002 - part of the protocol
        return await self._model.can_admit()

    async def handle_request(self, request: GenerationRequest, model_name: str) -> AsyncGenerator[MessageEvent, None]:
        started = False
        tools = [tool.name for tool in request.tools if tool.unavailable]
        events = MessageEvents(model_name, omits_thinking=request.thinking.omitted, failing_tools=tools)
        generate = partial(with_failing_calls, self._model.generate) if tools else self._model.generate
        try:
            async with (
                aclosing(generate(request)) as generated,
                aclosing(with_pings(generated, self._ping_interval_seconds)) as paced,
            ):
                async for event in paced:
                    if isinstance(event, GenerationStarted):
                        self._on_start(event)
                    for wire_event in [PING] if event is None else events.convert(event):
                        started = True
                        yield wire_event
        except PensieveError as error:
            if not started:
                raise
            log.warning("a stream ended with an error: %s", error)
            yield dict(error_body(error))
