"""Loading models, once for all requests that wait for the same one.

A load that has begun is never cancelled: its thread is inside MLX, and the client that left will probably come back for
the model.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from pensieve.core.errors import InsufficientMemoryError, ModelLoadingError
from pensieve.models.estimate.known_model import KnownModel
from pensieve.serving.registry import ModelRegistry
from pensieve.serving.residents import ResidentModel, ResidentModels
from pensieve.serving.room import MemoryRoom
from pensieve.serving.served_model import ServedModel
from pensieve.serving.shared_load import SharedLoad

log = logging.getLogger(__name__)


class ModelLoader:
    def __init__(
        self,
        start: Callable[[str], Awaitable[ServedModel]],
        registry: ModelRegistry,
        residents: ResidentModels,
        room: MemoryRoom,
        *,
        on_loaded: Callable[[ResidentModel], None],
    ) -> None:
        self.num_loads = self.num_failed_loads = 0
        self._start = start
        self._registry = registry
        self._residents = residents
        self._room = room
        self._on_loaded = on_loaded
        self._loads: dict[str, SharedLoad[ResidentModel]] = {}

    @property
    def is_idle(self) -> bool:
        return not self._loads

    def is_loading(self, source: str) -> bool:
        return source in self._loads

    async def pinned(self, source: str) -> ResidentModel:
        """The model of that source, loaded if necessary. The caller unpins it."""
        resident = self._residents.of_source(source)
        if resident is not None:
            return await self._ready(resident)
        load = self._loads.get(source) or self._begin(source)
        return await load.outcome(self._residents.pin, self._residents.unpin)

    async def _ready(self, resident: ResidentModel) -> ResidentModel:
        self._residents.pin(resident)
        try:
            await resident.is_ready.wait()
        except BaseException:
            self._residents.unpin(resident)
            raise
        return resident

    def _begin(self, source: str) -> SharedLoad[ResidentModel]:
        load = SharedLoad[ResidentModel](source, self._room.deadline())
        self._loads[source] = load
        load.begin(self._load(load))
        return load

    async def _load(self, load: SharedLoad[ResidentModel]) -> ResidentModel:
        try:
            async with self._room.lock:
                resident = await self._resident(load)
                if load.num_waiting:
                    self._residents.pin(resident)  # until the last caller that waits has pinned it
                return resident
        except BaseException:
            self.num_failed_loads += 1
            raise
        finally:
            del self._loads[load.source]

    async def _resident(self, load: SharedLoad[ResidentModel]) -> ResidentModel:
        known = self._registry.find(load.source)
        began = self._residents.clock()
        model, weights_bytes = await self._engine(load, known.weights_bytes if known is not None else 0)
        info = model.info
        if self._residents.get(info.id) is not None:
            await model.aclose()
            raise ModelLoadingError(load.source, f"another loaded model has the same name, {info.id}; unload it first")
        level = logging.INFO if self.num_loads else logging.DEBUG  # the line with the URL announces the first
        log.log(level, "loaded %s in %.1f s", info.id, self._residents.clock() - began)
        self.num_loads += 1
        entry = known or KnownModel(load.source, info)
        self._registry.add(replace(entry, source=load.source, info=info, weights_bytes=weights_bytes))
        resident = self._residents.put(load.source, model)
        self._on_loaded(resident)
        return resident

    async def _engine(self, load: SharedLoad[ResidentModel], weights_bytes: int) -> tuple[ServedModel, int]:
        """An engine, and the bytes that its weights take. Starts it a second time if the weights were larger than
        expected or another model took the memory meanwhile.
        """
        for _ in range(2):
            await self._room.make_for_weights(load, weights_bytes)
            before = self._room.weights_bytes
            try:
                model = await self._start(load.source)
                return model, self._room.weights_bytes - before
            except InsufficientMemoryError as error:
                if error.required_bytes > self._room.max_bytes or not self._residents:
                    raise
                weights_bytes = error.required_bytes
        raise self._room.no_room_error(load.source)
