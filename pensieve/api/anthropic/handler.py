"""Generates the events of a message. Implements `contracts.protocols.requests.RequestHandler`."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from contracts.values.generation import GenerationEvent, GenerationStarted
from contracts.values.vocabulary import GenerationRequest, MessageEvent, Prompt
from pensieve.api.anthropic.context_editing import edited
from pensieve.api.anthropic.events import PING, Envelope, MessageEvents
from pensieve.api.anthropic.tools.failing_calls import with_failing_calls
from pensieve.api.http.error_reply import error_body
from pensieve.api.http.pings import with_pings
from pensieve.core.errors import PensieveError
from pensieve.core.prompts.context_edits import ContextEdit

log = logging.getLogger(__name__)


class AnsweringModel(Protocol):
    """The part of a model that MessageHandler needs."""

    async def can_admit(self) -> bool: ...

    async def count_tokens(self, prompt: Prompt) -> int: ...

    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]: ...


@dataclass(frozen=True, slots=True)
class MessageOptions:
    """What a message depends on besides its generation.

    `on_start` is called when the request is accepted, before its first event, and `on_error` before an error event.
    `edits` clear parts of the conversation. `diagnostics` is the message's field of that name, if `has_diagnostics`.
    """

    on_start: Callable[[GenerationStarted], None] = lambda _: None
    on_error: Callable[[PensieveError], None] = lambda _: None
    message_id: str = ""
    edits: tuple[ContextEdit, ...] | None = None
    has_diagnostics: bool = False
    diagnostics: dict[str, object] | None = None

    def envelope(self, applied_edits: Sequence[dict[str, object]]) -> Envelope:
        at_start = {"diagnostics": self.diagnostics} if self.has_diagnostics else {}
        has_edits = self.edits is not None
        at_end = {"context_management": {"applied_edits": [*applied_edits]}} if has_edits else {}
        return Envelope(self.message_id, at_start, at_end)


class MessageHandler:
    """Converts the model's events to wire events in the order that `contracts.streams.message_stream` requires."""

    def __init__(
        self,
        model: AnsweringModel,
        *,
        ping_interval_seconds: float,
        options: MessageOptions = MessageOptions(),
    ) -> None:
        self._model = model
        self._options = options
        self._ping_interval_seconds = ping_interval_seconds

    async def can_handle_request(self, request: GenerationRequest) -> bool:  # noqa: ARG002 - part of the protocol
        return await self._model.can_admit()

    async def handle_request(self, request: GenerationRequest, model_name: str) -> AsyncGenerator[MessageEvent, None]:
        started = False
        options = self._options
        tools = [tool.name for tool in request.tools if tool.unavailable and not tool.withdrawn]
        context = await edited(request.prompt, options.edits or (), self._model.count_tokens)
        request = replace(request, messages=context.prompt.messages)
        events = MessageEvents(
            model_name,
            omits_thinking=request.thinking.omitted,
            failing_tools=tools,
            envelope=options.envelope(context.applied),
        )
        generate = partial(with_failing_calls, self._model.generate) if tools else self._model.generate
        try:
            async with (
                aclosing(generate(request)) as generated,
                aclosing(with_pings(generated, self._ping_interval_seconds)) as paced,
            ):
                async for event in paced:
                    if isinstance(event, GenerationStarted):
                        options.on_start(event)
                    for wire_event in [PING] if event is None else events.convert(event):
                        started = True
                        yield wire_event
        except PensieveError as error:
            if not started:
                raise
            log.warning("a stream ended with an error: %s", error)
            options.on_error(error)
            yield dict(error_body(error))
