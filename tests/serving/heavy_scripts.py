"""Scripted models that reserve memory for weights, so that a pool of them can be tested without MLX."""

from __future__ import annotations

import asyncio

from contracts.values.vocabulary import BufferUsage, ModelInfo
from pensieve.core.errors import ModelLoadingError
from pensieve.device.memory.ledger import Ledger
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.scripted.engine import ScriptedEngine
from pensieve.engine.scripted.script import Script, ScriptedReply
from pensieve.models.estimate.known_model import KnownModel

MB = 1000**2
CAPACITY_BYTES = 100 * MB


class HeavyScript(ScriptedEngine):
    """Reserves its weights from construction to `aclose`."""

    def __init__(self, name: str, weights_bytes: int, memory: Ledger) -> None:
        super().__init__(Script((ScriptedReply(text="word ", repeat=100),)), memory, SlidingWindowMonitor(memory.usage))
        self._name = name
        self._ledger = memory
        self._weights = memory.reserve(weights_bytes, BufferUsage.MODEL_WEIGHTS)

    @property
    def info(self) -> ModelInfo:
        return info_of(self._name)

    async def aclose(self) -> None:
        await super().aclose()
        self._ledger.release(self._weights)


def info_of(name: str) -> ModelInfo:
    return ModelInfo(name, name, 8192, "2026-01-01T00:00:00Z")


class FakeModels:
    """Starts models with these weights. Loading those in `faults` fails; `started` lists the names in order."""

    def __init__(self, **weights_bytes: int) -> None:
        self.memory = Ledger(CAPACITY_BYTES)
        self.weights_bytes = weights_bytes
        self.started: list[str] = []
        self.faults: set[str] = set()
        self.may_load = asyncio.Event()
        self.may_load.set()

    @property
    def known(self) -> tuple[KnownModel, ...]:
        return tuple(KnownModel(f"org/{name}", info_of(name), size) for name, size in self.weights_bytes.items())

    async def start(self, source: str) -> HeavyScript:
        name = source.removeprefix("org/")
        self.started.append(name)
        for _ in range(10):
            await asyncio.sleep(0)  # so that other callers come before it is loaded
        await self.may_load.wait()
        if name in self.faults:
            raise ModelLoadingError(source, "its files are damaged")
        return HeavyScript(name, self.weights_bytes[name], self.memory)
