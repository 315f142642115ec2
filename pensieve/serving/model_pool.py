"""Which models are loaded (S1: ModelManager). Implements `contracts.protocols.models.ModelManager`.

One load or unload runs at a time, so that the arithmetic of memory holds while it runs; answers go on meanwhile, each
model on its own thread. A load that was begun is never cut off: its thread is in MLX's hands, and the client that left
will most likely come back for the model.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from contracts.checked import checked as with_clauses
from contracts.protocols.memory import MetalResourceManager
from contracts.values.generation import PromptTokens
from contracts.values.measurements import MemoryPressure, SpeculationCounts
from contracts.values.vocabulary import BufferUsage, ModelConfig, ModelInfo
from pensieve.core.errors import InsufficientMemoryError, ModelLoadingError, NotFoundError, OverloadedError
from pensieve.models.estimate.known_model import KnownModel
from pensieve.serving.patience import LONGEST_NAP_SECONDS, LOOK_SECONDS, Patience
from pensieve.serving.registry import ModelCounts, ModelRegistry, ModelState, ModelStatus
from pensieve.serving.residents import Loaded, ResidentModels
from pensieve.serving.served_model import ServedModel
from pensieve.serving.shared_load import SharedLoad

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
ANSWERS_SHARE = 0.1
"""Of the memory, so much is to be left for answers when a model comes in."""


class ModelPool:
    """Loads by `start`, which turns a source into a running engine or raises a PensieveError.

    `known` are the models that may be borrowed; one that is loaded by its source is known from then on. With `checked`,
    every model that comes in runs under the clauses of InferenceModel.
    """

    def __init__(
        self,
        start: Callable[[str], Awaitable[ServedModel]],
        memory: MetalResourceManager,
        *,
        known: Iterable[KnownModel] = (),
        checked: bool = False,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self._start = start
        self._checked = checked
        self.memory = memory
        self._catalog = ModelRegistry(known)
        self._patience = patience
        self._clock = patience.clock
        self._residents = ResidentModels(memory, patience.clock)
        self._loads: dict[str, SharedLoad[Loaded]] = {}
        self._num_loads = self._num_failed_loads = 0
        self._seeking: SharedLoad[Loaded] | None = None
        """The load that waits for room; while it does, nobody else's new requests go to those it waits for."""
        self._changing = asyncio.Lock()
        self._closed = False

    def loaded(self) -> tuple[ModelInfo, ...]:
        return tuple(loaded.model.info for loaded in reversed(list(self._residents)))

    def known(self) -> tuple[ModelInfo, ...]:
        """The first one known, which clients take who name none; then those that are loaded, newest first."""
        infos = [model.info for model in self._catalog]
        loaded = [info for info in self.loaded() if info.id != infos[0].id]
        rest = [info for info in infos[1:] if self._residents.get(info.id) is None]
        return (*infos[:1], *loaded, *rest)

    def find(self, name: str) -> ModelInfo | None:
        found = self._catalog.find(name)
        return found.info if found is not None else None

    def get(self, model_id: str) -> ServedModel | None:
        return loaded.model if (loaded := self._residents.get(model_id)) is not None else None

    def in_use(self, model_id: str) -> bool:
        loaded = self._residents.get(model_id)
        return loaded is not None and loaded.in_use

    @property
    def num_active(self) -> int:
        return sum(loaded.model.num_active for loaded in self._residents)

    @property
    def is_idle(self) -> bool:
        """Whether nobody uses a model or waits for one."""
        return not self._loads and not any(loaded.in_use for loaded in self._residents)

    @property
    def counts(self) -> ModelCounts:
        return ModelCounts(self._num_loads, self._num_failed_loads, self._residents.num_unloads)

    def prompt_tokens(self) -> PromptTokens:
        return self._residents.prompt_tokens()

    def memory_pressure(self) -> MemoryPressure:
        return self._residents.memory_pressure()

    def speculation_counts(self) -> SpeculationCounts:
        return self._residents.speculation_counts()

    def states(self) -> tuple[ModelState, ...]:
        """How each known model stands, in the order of `known`."""
        return tuple(self._state(model) for info in self.known() if (model := self._catalog.find(info.id)) is not None)

    def _state(self, known: KnownModel) -> ModelState:
        loaded, told = self._residents.get(known.info.id), (known.weights_bytes, known.draft_id, known.settings)
        if loaded is None:
            return ModelState(known.info.id, self._standing(known), 0, None, *told)
        return ModelState(known.info.id, "loaded", loaded.model.num_active, self._residents.idle_seconds(loaded), *told)

    def _standing(self, known: KnownModel) -> ModelStatus:
        """Of a model that is not loaded."""
        if known.source in self._loads:
            return "loading"
        return "unloading" if self._residents.closing and self._residents.closing.source == known.source else "unloaded"

    async def borrow(self, name: str) -> ServedModel:
        known = self._catalog.find(name)
        if known is None:
            names = ", ".join(info.id for info in self.known()) or "nothing yet"
            raise NotFoundError(f"model: {name!r} is not served here; served: {names}", field="model")
        if (seeking := self._seeking) is not None and seeking.source != known.source:
            await asyncio.wait({seeking.task})  # once: a model that is asked for without end must not starve another
        return (await self._borrowed(known.source)).model

    def give_back(self, model_id: str) -> None:
        loaded = self._residents.get(model_id)
        if loaded is not None:
            self._residents.unpin(loaded)

    async def load_model(self, config: ModelConfig) -> ServedModel:
        if not config.source:
            raise ModelLoadingError("a model without a name", "give a folder, or a hub's organisation/name")
        loaded = await self._borrowed(config.source)
        self._residents.unpin(loaded)
        return loaded.model

    async def _borrowed(self, source: str) -> Loaded:
        """Loaded, and counted as in use by one more."""
        loaded = self._residents.of_source(source)
        if loaded is not None:
            self._residents.pin(loaded)
            return loaded
        load = self._loads.get(source) or self._begin(source)
        return await load.outcome(self._residents.pin, self._residents.unpin)

    def _begin(self, source: str) -> SharedLoad[Loaded]:
        load = SharedLoad[Loaded](source, self._clock() + self._patience.room_seconds)
        self._loads[source] = load
        load.begin(self._load(load))
        return load

    async def _load(self, load: SharedLoad[Loaded]) -> Loaded:
        try:
            async with self._changing:
                loaded = await self._started(load)
                if load.num_waiting:
                    self._residents.pin(loaded)  # until those who wait have taken theirs
                return loaded
        except BaseException:
            self._num_failed_loads += 1
            raise
        finally:
            del self._loads[load.source]

    async def _started(self, load: SharedLoad[Loaded]) -> Loaded:
        known = self._catalog.find(load.source)
        began = self._clock()
        model, weights_bytes = await self._engine(load, known.weights_bytes if known is not None else 0)
        info = model.info
        if self._residents.get(info.id) is not None:
            await model.aclose()
            raise ModelLoadingError(load.source, f"clients know another that is loaded by the same name, {info.id}")
        log.info("loaded %s in %.1f s", info.id, self._clock() - began)
        self._num_loads += 1
        entry = known or KnownModel(load.source, info)
        self._catalog.add(replace(entry, source=load.source, info=info, weights_bytes=weights_bytes))
        return self._residents.put(load.source, with_clauses(ServedModel, model) if self._checked else model)

    async def _engine(self, load: SharedLoad[Loaded], weights_bytes: int) -> tuple[ServedModel, int]:
        """Started in the room that was made for it, and what its weights took; once more if that is more than was
        expected, or others were quicker.
        """
        for _ in range(2):
            await self._make_room(load, weights_bytes)
            before = self.memory.reserved_bytes(BufferUsage.MODEL_WEIGHTS)
            try:
                model = await self._start(load.source)
                return model, self.memory.reserved_bytes(BufferUsage.MODEL_WEIGHTS) - before
            except InsufficientMemoryError as error:
                if error.required_bytes > self._max_bytes or not self._residents:
                    raise
                weights_bytes = error.required_bytes
        raise self._no_room(load.source)

    async def _make_room(self, load: SharedLoad[Loaded], weights_bytes: int) -> None:
        """Unload what nobody uses, the least recently used first, until the weights fit; wait for those in use.

        Raises:
            InsufficientMemoryError: they cannot fit even alone.
            OverloadedError: those in use stayed so, or the server stops.
        """
        capacity, max_bytes = self.memory.capacity_bytes, self._max_bytes
        if weights_bytes > max_bytes:
            raise InsufficientMemoryError(f"the weights of {load.source}", weights_bytes, max_bytes)
        wanted = min(weights_bytes + int(ANSWERS_SHARE * max_bytes), max_bytes) if weights_bytes else 0
        try:
            while self._residents and self.memory.reserved_bytes() + wanted > capacity:
                idle = self._residents.least_recently_used()
                if idle is not None:
                    await self._residents.close(idle, f"to make room for {load.source}")
                else:
                    self._check_may_wait(load)
                    self._seeking = load
                    await self._residents.given_back_within(LOOK_SECONDS)
        finally:
            self._seeking = None
        if self._closed:
            raise OverloadedError("the server is stopping", retry_after_seconds=RETRY_AFTER_SECONDS)

    @property
    def _max_bytes(self) -> int:
        """What a model could have if it were alone: all but what the process itself takes."""
        return self.memory.capacity_bytes - self.memory.reserved_bytes(BufferUsage.TEMPORARY)

    def _check_may_wait(self, load: SharedLoad[Loaded]) -> None:
        if self._closed or not load.num_waiting or self._clock() >= load.deadline:
            raise self._no_room(load.source)

    def _no_room(self, source: str) -> OverloadedError:
        busy = ", ".join(loaded.id for loaded in self._residents if loaded.in_use) or "others"
        return OverloadedError(
            f"there is no memory for {source} while it is in use by {busy}; try again in a moment",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )

    async def make_room(self, model_id: str, num_bytes: int) -> bool:
        """Unload what nobody uses until an answer of that model has its bytes; whether anything was unloaded."""
        if self._seeking is not None:
            return False  # it has taken all that nobody uses, and waits for the very one that asks here
        given = False
        async with self._changing:
            while self.memory.reserved_bytes() + num_bytes > self.memory.capacity_bytes:
                idle = self._residents.least_recently_used(except_for=model_id)
                if idle is None:
                    break
                await self._residents.close(idle, f"to make room for an answer of {model_id}")
                given = True
        return given

    async def unload_model(self, model_id: str) -> None:
        self._idle(model_id)
        async with self._changing:
            await self._residents.close(self._idle(model_id), "as it was asked for")

    def _idle(self, model_id: str) -> Loaded:
        loaded = self._residents.get(model_id)
        if loaded is None:
            raise NotFoundError(f"no model {model_id} is loaded", field="model")
        if loaded.in_use:
            raise OverloadedError(f"{model_id} is in use", retry_after_seconds=RETRY_AFTER_SECONDS)
        return loaded

    async def unload_idle(self) -> tuple[str, ...]:
        """Unload what nobody used for as long as that takes; the ids."""
        if self._patience.idle_seconds is None:
            return ()
        gone: list[str] = []
        async with self._changing:
            for loaded in self._residents:
                idle_seconds = self._residents.idle_seconds(loaded)
                if idle_seconds is not None and idle_seconds >= self._patience.idle_seconds:
                    await self._residents.close(loaded, f"after {idle_seconds:.0f} s without a request")
                    gone.append(loaded.id)
        return tuple(gone)

    async def watch_idle(self) -> None:
        """`unload_idle`, again and again until it is cancelled; returns at once where nothing is to be unloaded."""
        if self._patience.idle_seconds is None:
            return
        while True:
            await asyncio.sleep(min(self._patience.idle_seconds / 10, LONGEST_NAP_SECONDS))
            await self.unload_idle()

    async def optimize_memory_usage(self) -> int:
        return await asyncio.to_thread(self.memory.reclaim)

    async def aclose(self) -> None:
        """A load that runs ends first; one that waits is given up."""
        self._closed = True
        self._residents.given_back.set()
        async with self._changing:
            for loaded in self._residents:
                await self._residents.close(loaded, "as the server stops")
