"""Starts engines in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.engine import Engine
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.options import EngineOptions
from pensieve.models.files.model_folder import ModelFolder

GIB = 1024**3

MakeEngine = Callable[[], AbstractAsyncContextManager[Engine]]


async def start_engine(folder: ModelFolder, options: EngineOptions = EngineOptions()) -> Engine:  # noqa: B008 - frozen
    memory = DeviceMemory(4 * GIB)
    return await Engine.start(folder, memory, SlidingWindowMonitor(memory.usage), options)


def engines_of(folder: ModelFolder) -> MakeEngine:
    @asynccontextmanager
    async def make() -> AsyncIterator[Engine]:
        engine = await start_engine(folder)
        try:
            yield engine
        finally:
            await engine.aclose()

    return make
