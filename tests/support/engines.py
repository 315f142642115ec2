"""Starts engines in this process, and keeps what they were made of for tests to look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from contracts.values.vocabulary import BufferUsage
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.assembly import EngineParts
from pensieve.engine.batch.batch import Batch
from pensieve.engine.engine import Engine
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.options import EngineOptions
from pensieve.engine.speculation.pass_costs import Pace
from pensieve.models.files.model_folder import ModelFolder
from perf_gates.measuring.noted_parts import NotedParts, noting

GIB = 1024**3

MakeEngine = Callable[[], AbstractAsyncContextManager[Engine]]


@dataclass(frozen=True, slots=True)
class _Made:
    memory: DeviceMemory
    parts: NotedParts


_made: WeakKeyDictionary[Engine, _Made] = WeakKeyDictionary()


async def start_engine(
    folder: ModelFolder,
    options: EngineOptions = EngineOptions(),  # noqa: B008 - frozen
    memory: DeviceMemory | None = None,
    change: Callable[[EngineParts], EngineParts] = lambda parts: parts,
) -> Engine:
    """`change` may put other parts in the place of the engine's own."""
    memory = memory or DeviceMemory(4 * GIB)
    made: list[NotedParts] = []
    load = noting(made.append, change)
    engine = await Engine.start(folder, memory, SlidingWindowMonitor(memory.usage), options, load=load)
    _made[engine] = _Made(memory, *made)
    return engine


def with_pace(pace: Pace) -> Callable[[EngineParts], EngineParts]:
    return lambda parts: replace(parts, pace=pace)


def parts_of(engine: Engine) -> EngineParts:
    """What an engine of `start_engine` was made of."""
    return _made[engine].parts


def batch_of(engine: Engine) -> Batch:
    """The batch of an engine of `start_engine`, until a fault replaces it."""
    return _made[engine].parts.batch


def memory_of(engine: Engine) -> DeviceMemory:
    """The memory of an engine of `start_engine`."""
    return _made[engine].memory


def holds_kv(engine: Engine) -> bool:
    """Whether a request runs: it holds memory from before its first step until its end has been handled."""
    return memory_of(engine).reserved_bytes(BufferUsage.KV_CACHE) > 0


def engines_of(folder: ModelFolder) -> MakeEngine:
    @asynccontextmanager
    async def make() -> AsyncIterator[Engine]:
        engine = await start_engine(folder)
        try:
            yield engine
        finally:
            await engine.aclose()

    return make
