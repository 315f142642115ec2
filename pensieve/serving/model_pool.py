"""The models of one server: loaded on request, lent to requests, unloaded when idle.

Implements `contracts.protocols.models.ModelManager`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable

from contracts.checked import checked as with_clauses
from contracts.protocols.memory import MetalResourceManager
from contracts.values.generation import PromptTokens
from contracts.values.measurements import MemoryPressure, SpeculationCounts
from contracts.values.vocabulary import ModelConfig, ModelInfo
from pensieve.core.errors import ModelLoadingError, NotFoundError, OverloadedError
from pensieve.models.estimate.known_model import KnownModel
from pensieve.serving.loader import ModelLoader
from pensieve.serving.registry import ModelCounts, ModelRegistry, ModelState, ModelStatus
from pensieve.serving.residents import ResidentModel, ResidentModels
from pensieve.serving.revival import Revival
from pensieve.serving.room import MemoryRoom
from pensieve.serving.served_model import ServedModel
from pensieve.serving.timeouts import MAX_WATCH_SECONDS, PoolTimeouts


class ModelPool:
    """`start` turns a source into a running engine or raises a PensieveError. `known` are the models that may be
    borrowed; a model that `load_model` loads becomes known too. With `checked`, every engine runs under the clauses of
    InferenceModel.
    """

    def __init__(
        self,
        start: Callable[[str], Awaitable[ServedModel]],
        memory: MetalResourceManager,
        *,
        known: Iterable[KnownModel] = (),
        checked: bool = False,
        timeouts: PoolTimeouts = PoolTimeouts(),  # noqa: B008 - frozen
    ) -> None:
        self.memory = memory
        self._timeouts = timeouts
        self._registry = ModelRegistry(known)
        self._residents = ResidentModels(memory, timeouts.clock)
        self._room = MemoryRoom(memory, self._residents, timeouts)
        start = _checked(start) if checked else start
        self._revival = Revival(start, self._residents, self._room, timeouts)
        self._loader = ModelLoader(start, self._registry, self._residents, self._room, on_loaded=self._revival.watch)

    def loaded(self) -> tuple[ModelInfo, ...]:
        return tuple(resident.model.info for resident in reversed(list(self._residents)))

    def known(self) -> tuple[ModelInfo, ...]:
        """The default model first (it serves clients that name none), then the loaded models, newest first, then the
        rest.
        """
        infos = [model.info for model in self._registry]
        loaded = [info for info in self.loaded() if info.id != infos[0].id]
        rest = [info for info in infos[1:] if self._residents.get(info.id) is None]
        return (*infos[:1], *loaded, *rest)

    def find(self, name: str) -> ModelInfo | None:
        known = self._registry.find(name)
        return known.info if known is not None else None

    def get(self, model_id: str) -> ServedModel | None:
        resident = self._residents.get(model_id)
        return resident.model if resident is not None else None

    def in_use(self, model_id: str) -> bool:
        resident = self._residents.get(model_id)
        return resident is not None and resident.in_use

    @property
    def num_active(self) -> int:
        return sum(resident.model.num_active for resident in self._residents)

    @property
    def is_idle(self) -> bool:
        """Whether no model is in use or loading."""
        return self._loader.is_idle and not any(resident.in_use for resident in self._residents)

    def idle_seconds(self) -> float | None:
        """Since a request last gave its model back: None while one runs, and infinity while no model is loaded."""
        shortest = math.inf
        for resident in self._residents:
            if (seconds := self._residents.idle_seconds(resident)) is None:
                return None
            shortest = min(shortest, seconds)
        return shortest

    @property
    def counts(self) -> ModelCounts:
        return ModelCounts(self._loader.num_loads, self._loader.num_failed_loads, self._residents.num_unloads)

    def prompt_tokens(self) -> PromptTokens:
        return self._residents.prompt_tokens()

    def memory_pressure(self) -> MemoryPressure:
        return self._residents.memory_pressure()

    def speculation_counts(self) -> SpeculationCounts:
        return self._residents.speculation_counts()

    def states(self) -> tuple[ModelState, ...]:
        """In the order of `known`."""
        return tuple(self._state(model) for info in self.known() if (model := self._registry.find(info.id)) is not None)

    def _state(self, known: KnownModel) -> ModelState:
        resident = self._residents.get(known.info.id)
        idle_seconds = self._residents.idle_seconds(resident) if resident is not None else None
        return ModelState(
            id=known.info.id,
            status=self._status(known, resident),
            requests=resident.model.progress() if resident is not None else (),
            idle_seconds=idle_seconds,
            weights_bytes=known.weights_bytes,
            draft_id=known.draft_id,
            speculation=known.speculation if resident is None else resident.model.speculation,
            settings=known.settings,
            alias=known.alias,
        )

    def _status(self, known: KnownModel, resident: ResidentModel | None) -> ModelStatus:
        if resident is not None:
            return "loaded"
        if self._loader.is_loading(known.source):
            return "loading"
        closing = self._residents.closing
        return "unloading" if closing is not None and closing.source == known.source else "unloaded"

    async def borrow(self, name: str) -> ServedModel:
        known = self._registry.find(name)
        if known is None:
            names = ", ".join(info.id for info in self.known()) or "nothing yet"
            raise NotFoundError(f"model: {name!r} is not served here; served: {names}", field="model")
        waiting = self._room.waiting_load
        if waiting is not None and waiting.source != known.source:
            # Once only: a model that is requested without pause must not starve this one.
            await asyncio.wait({waiting.task})
        return (await self._loader.pinned(known.source)).model

    def give_back(self, model_id: str) -> None:
        resident = self._residents.get(model_id)
        if resident is not None:
            self._residents.unpin(resident)

    async def load_model(self, config: ModelConfig) -> ServedModel:
        if not config.source:
            raise ModelLoadingError("a model without a name", "give a folder, or a hub's organisation/name")
        resident = await self._loader.pinned(config.source)
        self._residents.unpin(resident)
        return resident.model

    async def make_room(self, model_id: str, num_bytes: int) -> bool:
        """Unload other idle models until `num_bytes` are free. Return whether any was unloaded."""
        return await self._room.make_for_answer(model_id, num_bytes)

    async def unload_model(self, model_id: str) -> None:
        self._idle(model_id)
        async with self._room.lock:
            await self._residents.close(self._idle(model_id), "on request")

    def _idle(self, model_id: str) -> ResidentModel:
        resident = self._residents.get(model_id)
        if resident is None:
            raise NotFoundError(f"model {model_id} is not loaded", field="model")
        if resident.in_use:
            raise OverloadedError(f"{model_id} is in use: it can be unloaded when its requests have ended")
        return resident

    async def unload_idle(self) -> tuple[str, ...]:
        """Unload models that have been idle for as long as they may be. Return their ids."""
        unloaded: list[str] = []
        async with self._room.lock:
            for resident in self._residents:
                idle_seconds = self._residents.idle_seconds(resident)
                if idle_seconds is not None and idle_seconds >= self._max_idle_seconds(resident.id):
                    await self._residents.close(resident, f"after {idle_seconds:.0f} s without a request")
                    unloaded.append(resident.id)
        return tuple(unloaded)

    def _max_idle_seconds(self, model_id: str) -> float:
        """The model's own limit, else that of all models; infinite for none."""
        known = self._registry.find(model_id)
        limits = (known.idle_seconds if known is not None else None, self._timeouts.idle_seconds)
        return next((limit for limit in limits if limit is not None), math.inf)

    async def watch_idle(self) -> None:
        """Call `unload_idle` regularly until cancelled. Returns at once if idle models stay loaded."""
        limits = (self._timeouts.idle_seconds, *(model.idle_seconds for model in self._registry))
        shortest = min((limit for limit in limits if limit is not None), default=math.inf)
        while shortest < math.inf:
            await asyncio.sleep(min(shortest / 10, MAX_WATCH_SECONDS))
            await self.unload_idle()

    async def optimize_memory_usage(self) -> int:
        return await asyncio.to_thread(self.memory.reclaim)

    @property
    def fault(self) -> str | None:
        """Why a loaded model does not answer now."""
        return next((resident.fault for resident in self._residents if resident.fault is not None), None)

    async def lost(self) -> str:
        """Return once this process cannot serve a model any more, with the reason."""
        return await self._revival.lost()

    async def aclose(self) -> None:
        """A running load ends first; one that waits for memory fails."""
        self._room.close()
        async with self._room.lock:
            for resident in self._residents:
                await self._residents.close(resident, "as the server stops")


def _checked(start: Callable[[str], Awaitable[ServedModel]]) -> Callable[[str], Awaitable[ServedModel]]:
    async def with_checks(source: str) -> ServedModel:
        return with_clauses(ServedModel, await start(source))

    return with_checks
