"""What one request may do with the model that it borrowed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

from contracts.values.generation import GenerationEvent
from contracts.values.vocabulary import GenerationRequest, ModelInfo, Prompt
from pensieve.core.errors import InsufficientMemoryError, PensieveError
from pensieve.serving.served_model import ServedModel


class Observer(Protocol):
    """Sees what becomes of a request, before the client does."""

    def note_event(self, event: GenerationEvent) -> None: ...

    def note_error(self, error: PensieveError) -> None: ...


class Unobserved:
    def note_event(self, event: GenerationEvent) -> None:
        pass

    def note_error(self, error: PensieveError) -> None:
        pass


class ModelLease:
    """If memory does not suffice for an answer, `make_room(model_id, num_bytes)` unloads idle models and the answer is
    tried once more. It returns whether it unloaded any.
    """

    def __init__(
        self,
        model: ServedModel,
        make_room: Callable[[str, int], Awaitable[bool]],
        observer: Observer = Unobserved(),  # noqa: B008 - it has no state
    ) -> None:
        self._model = model
        self._make_room = make_room
        self._observer = observer

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    async def can_admit(self) -> bool:
        return await self._model.can_admit()

    async def count_tokens(self, prompt: Prompt) -> int:
        return await self._model.count_tokens(prompt)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        for is_last in (False, True):
            started = False
            try:
                async with aclosing(self._model.generate(request)) as events:
                    async for event in events:
                        started = True
                        self._observer.note_event(event)
                        yield event
            except InsufficientMemoryError as error:
                if started or is_last or not await self._make_room(self.info.id, error.required_bytes):
                    self._observer.note_error(error)
                    raise
            except PensieveError as error:
                self._observer.note_error(error)
                raise
            else:
                return
