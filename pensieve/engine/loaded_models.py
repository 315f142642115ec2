"""Which models are loaded (seed: ModelManager). Implements `contracts.models.ModelManager`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from contracts.checked import checked as with_clauses
from contracts.generation import PromptTokens
from contracts.inference import InferenceModel
from contracts.memory import MetalResourceManager
from contracts.vocabulary import ModelConfig, ModelInfo
from pensieve.core.errors import ModelLoadingError, NotFoundError, OverloadedError


class ServedModel(InferenceModel, Protocol):
    """An engine as the server needs it: it also knows how busy it is, and where the KV of prompts came from."""

    @property
    def num_active(self) -> int: ...

    async def can_admit(self) -> bool: ...

    def prompt_tokens(self) -> PromptTokens: ...


class LoadedModels:
    """Loads by `start`, which turns a source into a running engine or raises a PensieveError.

    With `checked`, every model that comes in runs under the clauses of InferenceModel.
    """

    def __init__(
        self,
        start: Callable[[str], Awaitable[ServedModel]],
        memory: MetalResourceManager,
        *,
        checked: bool = False,
    ) -> None:
        self._start = start
        self._checked = checked
        self._memory = memory
        self._by_id: dict[str, ServedModel] = {}
        self._id_of_source: dict[str, str] = {}
        self._loading = asyncio.Lock()

    def loaded(self) -> tuple[ModelInfo, ...]:
        return tuple(model.info for model in reversed(self._by_id.values()))

    def get(self, model_id: str) -> ServedModel | None:
        return self._by_id.get(model_id)

    def in_use(self, model_id: str) -> bool:
        model = self._by_id.get(model_id)
        return model is not None and model.num_active > 0

    @property
    def num_active(self) -> int:
        return sum(model.num_active for model in self._by_id.values())

    async def load_model(self, config: ModelConfig) -> ServedModel:
        if not config.source:
            raise ModelLoadingError(
                "a model without a name", "give a folder, a hub's organisation/name, or none at all"
            )
        async with self._loading:
            known = self._by_id.get(self._id_of_source.get(config.source, ""))
            if known is not None:
                return known
            model = await self._start(config.source)
            if self._checked:
                model = with_clauses(ServedModel, model)
            self._by_id[model.info.id] = model
            self._id_of_source[config.source] = model.info.id
            return model

    async def unload_model(self, model_id: str) -> None:
        model = self._by_id.get(model_id)
        if model is None:
            raise NotFoundError(f"no model {model_id} is loaded", field="model")
        if model.num_active > 0:
            raise OverloadedError(f"{model_id} is answering {model.num_active} requests", retry_after_seconds=5)
        del self._by_id[model_id]
        await model.aclose()

    async def optimize_memory_usage(self) -> int:
        return await asyncio.to_thread(self._memory.reclaim)

    async def aclose(self) -> None:
        models = list(self._by_id.values())
        self._by_id.clear()
        for model in models:
            await model.aclose()
