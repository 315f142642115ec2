"""The models that are loaded, who uses them, and since when nobody does."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from contracts.protocols.memory import MetalResourceManager
from contracts.values.generation import PromptTokens
from contracts.values.measurements import MemoryPressure, SpeculationCounts
from pensieve.serving.served_model import ServedModel

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Loaded:
    """A model that is loaded. `last_used` is the shelf's time of its last use, as far as that is known."""

    source: str
    model: ServedModel
    last_used: float
    num_borrowed: int = 0

    @property
    def id(self) -> str:
        return self.model.info.id

    @property
    def in_use(self) -> bool:
        return self.num_borrowed > 0 or self.model.num_active > 0


class ResidentModels:
    """In the order in which they were loaded. `given_back` is set whenever somebody needs a model no longer."""

    def __init__(self, memory: MetalResourceManager, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory = memory
        self.clock = clock
        self.given_back = asyncio.Event()
        self.num_unloads = 0
        self.closing: Loaded | None = None
        """The one that is no longer here, and whose memory is not back yet. One closes at a time."""
        self._past_tokens = PromptTokens()
        """Of models that are unloaded."""
        self._past_pressure = MemoryPressure()
        self._past_speculation = SpeculationCounts()
        self._by_id: dict[str, Loaded] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Loaded]:
        return iter(tuple(self._by_id.values()))

    def get(self, model_id: str) -> Loaded | None:
        return self._by_id.get(model_id)

    def of_source(self, source: str) -> Loaded | None:
        return next((loaded for loaded in self if loaded.source == source), None)

    def put(self, source: str, model: ServedModel) -> Loaded:
        loaded = Loaded(source, model, self.clock())
        self._by_id[loaded.id] = loaded
        return loaded

    def pin(self, loaded: Loaded) -> None:
        loaded.num_borrowed += 1

    def unpin(self, loaded: Loaded) -> None:
        loaded.num_borrowed -= 1
        loaded.last_used = self.clock()
        self.given_back.set()

    async def given_back_within(self, seconds: float) -> None:
        """Returns when somebody has given a model back, or the time is over."""
        self.given_back.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.given_back.wait(), seconds)

    def idle_seconds(self, loaded: Loaded) -> float | None:
        """How long nobody has used it; None while somebody does."""
        if loaded.in_use:
            loaded.last_used = self.clock()
            return None
        return max(0.0, self.clock() - loaded.last_used)

    def least_recently_used(self, *, except_for: str | None = None) -> Loaded | None:
        """Of those that nobody uses."""
        idle = [loaded for loaded in self if not loaded.in_use and loaded.id != except_for]
        return min(idle, key=lambda loaded: loaded.last_used, default=None)

    def prompt_tokens(self) -> PromptTokens:
        """Of all models since the start."""
        return _sum([self._past_tokens, *(loaded.model.prompt_tokens() for loaded in self)])

    def memory_pressure(self) -> MemoryPressure:
        """Of all models: what is done now, and how often each step was taken since the start."""
        return sum((loaded.model.memory_pressure() for loaded in self), self._past_pressure)

    def speculation_counts(self) -> SpeculationCounts:
        """Of all models since the start."""
        return sum((loaded.model.speculation_counts() for loaded in self), self._past_speculation)

    async def close(self, loaded: Loaded, reason: str) -> None:
        """Nobody gets it any more, and its memory is back when this returns. A caller that leaves changes nothing."""
        self.closing = self._by_id.pop(loaded.id)
        self.num_unloads += 1
        self._past_tokens = _sum([self._past_tokens, loaded.model.prompt_tokens()])
        ended = replace(loaded.model.memory_pressure(), active=(), chunk_tokens=0)
        self._past_pressure = self._past_pressure + ended
        self._past_speculation = self._past_speculation + loaded.model.speculation_counts()
        log.info("unloading %s %s", loaded.id, reason)
        try:
            await _to_its_end(self._emptied(loaded.model))
        finally:
            self.closing = None

    async def _emptied(self, model: ServedModel) -> None:
        await model.aclose()
        await asyncio.to_thread(self._collect)

    def _collect(self) -> None:
        """mlx-lm's batches refer to themselves: seen to keep a model's weights until Python next looked for such."""
        gc.collect()
        self._memory.reclaim()


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


async def _to_its_end(work: Awaitable[Any]) -> None:
    """Await it; a cancellation of whoever awaits is passed on when it has ended."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
