"""What one request may do with the model that it borrowed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from contracts.values.generation import GenerationEvent
from contracts.values.vocabulary import GenerationRequest, ModelInfo, Prompt
from pensieve.core.errors import InsufficientMemoryError
from pensieve.serving.served_model import ServedModel


class ModelLease:
    """If memory does not suffice for an answer, `make_room(model_id, num_bytes)` unloads idle models and the answer is
    tried once more. It returns whether it unloaded any.
    """

    def __init__(self, model: ServedModel, make_room: Callable[[str, int], Awaitable[bool]]) -> None:
        self._model = model
        self._make_room = make_room

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
                        yield event
            except InsufficientMemoryError as error:
                if started or is_last or not await self._make_room(self.info.id, error.required_bytes):
                    raise
            else:
                return
