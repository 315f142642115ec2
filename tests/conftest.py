"""What tests of several folders stand on."""

from __future__ import annotations

from pensieve.device import blas

blas.preload()  # before anything imports MLX: without it the real model's tests take three times as long

# ruff: noqa: E402
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import anthropic
import hypothesis
import pytest

from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.engine import Engine
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.options import EngineOptions
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.resolve import resolve
from tests.support.tiny_model import write_tiny_model

hypothesis.settings.register_profile("pensieve", deadline=None)  # machines of CI are shared, and their pace varies
hypothesis.settings.load_profile("pensieve")

GIB = 1024**3

MakeEngine = Callable[[], AbstractAsyncContextManager[Engine]]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A llama of two layers with random weights and the embedded model's tokenizer."""
    return resolve(str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")), progress=ConsoleProgress())


@pytest.fixture
def make_engine(tiny_folder: ModelFolder) -> MakeEngine:
    """Engines of the tiny model, each with a memory of its own; closed when the block ends."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Engine]:
        engine = await start_engine(tiny_folder)
        try:
            yield engine
        finally:
            await engine.aclose()

    return make


async def start_engine(folder: ModelFolder, options: EngineOptions = EngineOptions()) -> Engine:  # noqa: B008 - frozen
    memory = DeviceMemory(4 * GIB)
    return await Engine.start(folder, memory, SlidingWindowMonitor(memory.usage), options)


@pytest.fixture(scope="session")
def embedded_client() -> Iterator[anthropic.Anthropic]:
    """The official SDK, strict, on `pensieve serve` with the real embedded model."""
    resolve(SMOLLM2.name, progress=ConsoleProgress())  # so that a first download is not the server's start
    with serving() as client:
        yield client


@pytest.fixture
def tiny_client(tiny_folder: ModelFolder) -> Iterator[anthropic.Anthropic]:
    """The official SDK, strict, on `pensieve serve` with the tiny model: sense is none, but it is fast."""
    with serving("--model", str(tiny_folder.path)) as client:
        yield client


@contextmanager
def serving(*arguments: str) -> Iterator[anthropic.Anthropic]:
    command = [sys.executable, "-m", "pensieve", "serve", "--port", "0", "--cache-disk", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        try:
            with anthropic.Anthropic(base_url=found[0], api_key="any", _strict_response_validation=True) as client:
                yield client
        finally:
            process.terminate()
            process.wait(30)
