"""Pensieve's own implementations pass the checks of the contracts (S1)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from contracts.checks import (
    check_inference_model,
    check_memory,
    check_model_manager,
    check_performance_monitor,
    check_request_handler,
)
from pensieve.api.anthropic.handler import MessageHandler
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.device.memory.ledger import Ledger
from pensieve.engine.engine import Engine
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.scripted.engine import ScriptedEngine
from pensieve.engine.scripted.script import Script, ScriptedReply
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from pensieve.serving.model_pool import ModelPool
from pensieve.serving.served_model import ServedModel
from tests.support.engines import GIB, MakeEngine
from tests.support.tiny_model import write_tiny_model


def scripted(*replies: ScriptedReply) -> ScriptedEngine:
    memory = Ledger(GIB)
    return ScriptedEngine(Script(replies), memory, SlidingWindowMonitor(memory.usage))


def test_the_engine_keeps_the_contract_of_inference_model(make_engine: MakeEngine) -> None:
    asyncio.run(check_inference_model(make_engine))


def test_the_scripted_engine_keeps_the_contract_of_inference_model() -> None:
    @asynccontextmanager
    async def make() -> AsyncIterator[ScriptedEngine]:
        yield scripted(ScriptedReply(text="one two three four five six ", repeat=20, seconds_per_token=0.001))

    asyncio.run(check_inference_model(make))


def test_the_ledger_keeps_the_contract_of_a_resource_manager() -> None:
    check_memory(lambda: Ledger(GIB))


def test_device_memory_keeps_the_contract_of_a_resource_manager() -> None:
    check_memory(lambda: DeviceMemory(GIB))


def test_the_monitor_keeps_its_contract() -> None:
    check_performance_monitor(lambda: SlidingWindowMonitor(Ledger(GIB).usage))


def test_the_model_pool_keeps_the_contract_of_a_model_manager(tiny_folder: ModelFolder, tmp_path: Path) -> None:
    other = write_tiny_model(tmp_path / "other", seed=1)

    @asynccontextmanager
    async def make() -> AsyncIterator[ModelPool]:
        memory = DeviceMemory(4 * GIB)
        monitor = SlidingWindowMonitor(memory.usage)

        async def start(source: str) -> ServedModel:
            return await Engine.start(resolve(source, progress=ConsoleProgress()), memory, monitor)

        models = ModelPool(start, memory)
        try:
            yield models
        finally:
            await models.aclose()

    asyncio.run(check_model_manager(make, source=str(tiny_folder.path), other_source=str(other)))


def test_the_message_handler_keeps_its_contract() -> None:
    @asynccontextmanager
    async def make() -> AsyncIterator[MessageHandler]:
        yield MessageHandler(scripted(ScriptedReply(text="one two three ", repeat=30)), ping_interval_seconds=5)

    @asynccontextmanager
    async def make_failing() -> AsyncIterator[MessageHandler]:
        yield MessageHandler(
            scripted(ScriptedReply(text="one two three", fail_after_tokens=2)), ping_interval_seconds=5
        )

    asyncio.run(check_request_handler(make, make_failing=make_failing))
