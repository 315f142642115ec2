"""Models that are loaded and unloaded many times leave no memory reserved (S7).

By default a short version runs. Set PENSIEVE_CHURN_CYCLES=300 for the full one, and --log-cli-level=INFO to see the
measurements.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
import psutil

from contracts.values.vocabulary import ChatMessage, GenerationRequest, ModelConfig, Role, Sampling
from pensieve.core.errors import ModelLoadingError
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.engine import Engine
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.options import EngineOptions
from pensieve.engine.prompt_cache.open import CacheOptions
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from pensieve.serving.model_pool import ModelPool
from pensieve.serving.served_model import ServedModel
from tests.support.engines import GIB
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

log = logging.getLogger(__name__)

CYCLES = int(os.environ.get("PENSIEVE_CHURN_CYCLES", "30"))
WARM_UP_CYCLES = 10
SIZES = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "vocab_size": 259}
FULL_CYCLES = 300
ROUGHLY = 1.02
SHORT_ROUGHLY = 1.06
"""The tolerance for resident memory after few cycles, before allocators and tokenizers reach a steady state."""


@dataclass(frozen=True, slots=True)
class Level:
    """Bytes with one model loaded and idle."""

    active_bytes: int
    reserved_bytes: int
    rss_bytes: int


class Churn:
    """Two intact models and a damaged one under one ledger, used at random from a fixed seed."""

    def __init__(self, folder: Path) -> None:
        tokenizer = write_byte_tokenizer(folder / "tokenizer")
        self.sources = [
            str(write_tiny_model(folder / name, tokenizer_folder=tokenizer, seed=seed, **SIZES))
            for seed, name in enumerate(("one", "two"))
        ]
        self.damaged = write_tiny_model(folder / "damaged", tokenizer_folder=tokenizer, **SIZES)
        config = self.damaged / "config.json"
        config.write_text(config.read_text().replace('"hidden_size": 256', '"hidden_size": 192'), encoding="utf-8")
        self.memory = DeviceMemory(GIB)
        self.monitor = SlidingWindowMonitor(self.memory.usage)
        self.chance = random.Random(7)  # noqa: S311 - no secret
        self.models = ModelPool(self.start, self.memory)

    async def start(self, source: str) -> ServedModel:
        folder = resolve(source, progress=ConsoleProgress())
        return await Engine.start(folder, self.memory, self.monitor, EngineOptions(cache=CacheOptions(10 * 1000**2)))

    async def cycle(self, number: int) -> None:
        source = self.sources[number % 2]
        match number % 4:
            case 0:
                await self.answer(source, num_events=1000)
            case 1:
                await self.answer(source, num_events=self.chance.randint(1, 8))
            case 2:
                await self.cancel_while_it_loads(source)
            case _:
                await self.fail()
        for info in self.models.loaded():
            await self.models.unload_model(info.id)

    async def answer(self, source: str, num_events: int) -> None:
        """Read `num_events` of the answer, then close the stream, as a client does that disconnects."""
        model = await self.models.load_model(ModelConfig(source))
        prompt = ChatMessage(Role.USER, "word " * self.chance.randint(1, 60))
        request = GenerationRequest((prompt,), max_tokens=24, sampling=Sampling(temperature=1.0))
        async with aclosing(model.generate(request)) as events:
            async for _ in events:
                num_events -= 1
                if not num_events:
                    break

    async def cancel_while_it_loads(self, source: str) -> None:
        cancelled = asyncio.create_task(self.models.load_model(ModelConfig(source)))
        await asyncio.sleep(self.chance.uniform(0, 0.05))
        cancelled.cancel()
        await asyncio.wait({cancelled})
        await self.models.load_model(ModelConfig(source))

    async def fail(self) -> None:
        try:
            await self.models.load_model(ModelConfig(str(self.damaged)))
        except ModelLoadingError:
            return
        raise AssertionError("a damaged model was loaded")

    async def level(self) -> Level:
        model = await self.models.load_model(ModelConfig(self.sources[0]))
        level = Level(mx.get_active_memory(), self.memory.reserved_bytes(), psutil.Process().memory_info().rss)
        await self.models.unload_model(model.info.id)
        log.info("%s", level)
        return level


def test_models_that_are_loaded_and_unloaded_leave_no_memory_reserved(tmp_path: Path) -> None:
    async def play() -> tuple[Level, Level, int]:
        churn = Churn(tmp_path)
        for number in range(WARM_UP_CYCLES):
            await churn.cycle(number)
        before = await churn.level()
        for number in range(CYCLES):
            await churn.cycle(number)
            if number % 50 == 49:
                await churn.level()
        after = await churn.level()
        await churn.models.aclose()
        return before, after, churn.memory.reserved_bytes()

    empty_bytes = mx.get_active_memory()
    before, after, reserved_bytes = asyncio.run(play())
    log.info("%d cycles: before %s, after %s, MLX at the end %d", CYCLES, before, after, mx.get_active_memory())
    assert after.active_bytes <= ROUGHLY * before.active_bytes
    assert after.rss_bytes <= (ROUGHLY if CYCLES >= FULL_CYCLES else SHORT_ROUGHLY) * before.rss_bytes
    assert after.reserved_bytes == before.reserved_bytes
    assert reserved_bytes == 0
    assert mx.get_active_memory() <= empty_bytes + 1000
