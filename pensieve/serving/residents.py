"""The models in memory: which are in use, and how long the others have been idle."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from contracts.protocols.memory import MetalResourceManager
from contracts.values.generation import PromptTokens
from contracts.values.measurements import MemoryPressure, SpeculationCounts
from pensieve.device import malloc
from pensieve.device.memory.garbage import GARBAGE
from pensieve.serving.served_model import ServedModel

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ResidentModel:
    """`last_used` is a time of the pool's clock, updated when the model is given back or found in use.

    While the model is loaded again after a `fault`, `is_ready` is not set.
    """

    source: str
    model: ServedModel
    last_used: float
    num_borrowed: int = 0
    fault: str | None = None
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.is_ready.set()

    @property
    def id(self) -> str:
        return self.model.info.id

    @property
    def in_use(self) -> bool:
        return self.num_borrowed > 0 or self.model.num_active > 0


class ResidentModels:
    """In the order in which they were loaded. `given_back` is set whenever a request gives its model back."""

    def __init__(self, memory: MetalResourceManager, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self.clock = clock
        self.given_back = asyncio.Event()
        self.num_unloads = 0
        self.closing: ResidentModel | None = None
        """Removed already, but its memory is not free yet. Models close one at a time."""
        self._past_tokens = PromptTokens()
        """The counts of models that were unloaded, like the next two."""
        self._past_pressure = MemoryPressure()
        self._past_speculation = SpeculationCounts()
        self._by_id: dict[str, ResidentModel] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[ResidentModel]:
        return iter(tuple(self._by_id.values()))

    def get(self, model_id: str) -> ResidentModel | None:
        return self._by_id.get(model_id)

    def of_source(self, source: str) -> ResidentModel | None:
        return next((resident for resident in self if resident.source == source), None)

    def put(self, source: str, model: ServedModel) -> ResidentModel:
        resident = ResidentModel(source, model, self.clock())
        self._by_id[resident.id] = resident
        return resident

    def pin(self, resident: ResidentModel) -> None:
        resident.num_borrowed += 1

    def unpin(self, resident: ResidentModel) -> None:
        resident.num_borrowed -= 1
        resident.last_used = self.clock()
        self.given_back.set()

    async def wait_for_return(self, timeout_seconds: float) -> None:
        """Return when a request gives its model back, or after the timeout."""
        self.given_back.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.given_back.wait(), timeout_seconds)

    def idle_seconds(self, resident: ResidentModel) -> float | None:
        """None while it is in use."""
        if resident.in_use:
            resident.last_used = self.clock()
            return None
        return max(0.0, self.clock() - resident.last_used)

    def least_recently_used(self, *, except_for: str | None = None) -> ResidentModel | None:
        """Among the idle models."""
        idle = [resident for resident in self if not resident.in_use and resident.id != except_for]
        return min(idle, key=lambda resident: resident.last_used, default=None)

    def prompt_tokens(self) -> PromptTokens:
        """The sum over all models since the start, like the next two; active pressure steps are those of now."""
        return _sum([self._past_tokens, *(resident.model.prompt_tokens() for resident in self)])

    def memory_pressure(self) -> MemoryPressure:
        return sum((resident.model.memory_pressure() for resident in self), self._past_pressure)

    def speculation_counts(self) -> SpeculationCounts:
        return sum((resident.model.speculation_counts() for resident in self), self._past_speculation)

    async def replace(self, resident: ResidentModel, start: Callable[[str], Awaitable[ServedModel]]) -> None:
        """Unload its failed engine and start another one. Requests hold the resident model as before."""
        failed = resident.model
        await _uncancelled(self._unload(failed))
        resident.model = await start(resident.source)
        self._keep_counts(failed)

    def _keep_counts(self, model: ServedModel) -> None:
        self._past_tokens = _sum([self._past_tokens, model.prompt_tokens()])
        ended = replace(model.memory_pressure(), active=(), chunk_tokens=0)
        self._past_pressure = self._past_pressure + ended
        self._past_speculation = self._past_speculation + model.speculation_counts()

    async def close(self, resident: ResidentModel, reason: str) -> None:
        """Unload it: its memory is free when this returns. Cancelling the caller does not cut the unloading short."""
        self.closing = self._by_id.pop(resident.id)
        self.num_unloads += 1
        self._keep_counts(resident.model)
        log.info("unloading %s %s", resident.id, reason)
        try:
            await _uncancelled(self._unload(resident.model))
        finally:
            self.closing = None

    async def _unload(self, model: ServedModel) -> None:
        await model.aclose()
        await asyncio.to_thread(self._collect)

    def _collect(self) -> None:
        """mlx-lm's batches are reference cycles, which keep a model's weights alive until Python collects cycles. Its
        tokenizer is many small pieces, which the allocator keeps.
        """
        GARBAGE.collect()
        self._memory.reclaim()
        malloc.return_freed_memory()


def _sum(counts: list[PromptTokens]) -> PromptTokens:
    differed_in = Counter[str]()
    for each in counts:
        differed_in.update(each.differed_in)
    return PromptTokens(
        read=sum(each.read for each in counts),
        from_disk=sum(each.from_disk for each in counts),
        computed=sum(each.computed for each in counts),
        differed_in=dict(differed_in),
    )


async def _uncancelled(work: Awaitable[Any]) -> None:
    """Await `work` to its end; a cancellation of the caller is raised only then."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
