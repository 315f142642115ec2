"""Two hundred requests with memory for three at a time: all end, and all memory is returned (S7, S13)."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import mlx.core as mx
import pytest

from contracts.values.generation import GenerationFinished
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling, StopReason
from pensieve.cli.settings.settings import Settings
from pensieve.cli.wiring import ServerComponents, model_components
from pensieve.core.errors import OverloadedError
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.engine import Engine
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.options import EngineOptions
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from pensieve.serving.served_model import ServedModel
from tests.support.engines import GIB
from tests.support.running_server import running_server, settings_for
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model
from tests.support.waiting import wait_until

log = logging.getLogger(__name__)

REQUESTS, CLIENTS, AT_ONCE = 200, 16, 3
LONGEST_PROMPT, LONGEST_ANSWER = 250, 100
SIZES = {"vocab_size": 259, "num_hidden_layers": 2, "head_dim": 64, "num_key_value_heads": 4}
MAX_RUNNING, QUEUED = 5, 9
"""Few enough that some requests of sixteen clients are refused."""


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose KV cache soon weighs as much as its weights."""
    home = tmp_path_factory.mktemp("models")
    tokenizer = write_byte_tokenizer(home / "tokenizer")
    return write_tiny_model(home / "many", tokenizer_folder=tokenizer, **SIZES)


def chances(number: int) -> random.Random:
    return random.Random(number)  # noqa: S311 - no secret


def leave_room_for_three(memory: DeviceMemory) -> None:
    """Leave room for three of the longest requests, beside what is already reserved."""
    kv_bytes_per_token = 2 * SIZES["num_hidden_layers"] * SIZES["num_key_value_heads"] * SIZES["head_dim"] * 4
    longest = 512 * kv_bytes_per_token
    memory.capacity_bytes = memory.reserved_bytes() + AT_ONCE * longest + longest // 2


RETRY_AFTER_SECONDS = 0.15
"""How long a refused client waits: less than the server requests, to keep the test short."""


class Crowd:
    """Sixteen clients of one engine, and the outcome of each of their requests."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ends: Counter[str] = Counter()
        self.max_running = 0

    async def client(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            self.ends[await self.one(number, chances(number))] += 1

    async def one(self, number: int, chance: random.Random) -> str:
        text = f"{number} " + "x" * chance.randint(1, LONGEST_PROMPT)
        max_tokens = chance.randint(1, LONGEST_ANSWER)
        leaves_after = chance.randint(1, 3) if chance.random() < 0.15 else None
        request = GenerationRequest((ChatMessage(Role.USER, text),), max_tokens, Sampling(temperature=1.0))
        num_events = 0
        try:
            async with aclosing(self.engine.generate(request)) as events:
                async for event in events:
                    num_events += 1
                    self.max_running = max(self.max_running, len(self.engine._loop.rows.running))
                    if isinstance(event, GenerationFinished):
                        assert event.stop_reason is StopReason.END_TURN or event.usage.output_tokens == max_tokens
                        return "answered"
                    if num_events == leaves_after:
                        return "left"
        except OverloadedError as error:
            await asyncio.sleep(RETRY_AFTER_SECONDS)
            return "refused" if error.retry_after_seconds > 0 else "refused without a retry time"
        raise AssertionError("a stream ended without its last event")


def test_all_requests_to_the_engine_end_and_return_their_memory(model_path: Path) -> None:
    async def play() -> None:
        memory = DeviceMemory(GIB)
        folder = resolve(str(model_path), progress=ConsoleProgress())
        options = EngineOptions(max_queued=QUEUED, max_batch_size=MAX_RUNNING)
        engine = await Engine.start(folder, memory, SlidingWindowMonitor(memory.usage), options)
        leave_room_for_three(memory)
        level, active = memory.reserved_bytes(), mx.get_active_memory()
        crowd, numbers = Crowd(engine), iter(range(REQUESTS))
        with memory.measured_peak() as peak:
            await asyncio.gather(*(crowd.client(numbers) for _ in range(CLIENTS)))
            async with asyncio.timeout(300):
                while memory.reserved_bytes() != level:  # noqa: ASYNC110 - it happens on another thread
                    await asyncio.sleep(0.01)
        log.info("over the engine: %s; %d ran at once", dict(crowd.ends), crowd.max_running)
        assert crowd.ends.total() == REQUESTS
        assert crowd.ends.keys() == {"answered", "refused", "left"}
        assert crowd.max_running >= AT_ONCE
        assert engine.num_active == 0
        assert memory.peak_reserved_bytes <= memory.capacity_bytes
        assert peak.bytes <= memory.capacity_bytes
        assert mx.get_active_memory() <= active + 2**20
        await engine.aclose()
        assert memory.reserved_bytes() == 0

    asyncio.run(play())


def ask_over_http(client: httpx.Client, number: int) -> str:
    """The outcome of one request: "answered", "refused" or "left"."""
    chance = chances(number)
    body = {
        "model": "claude-any",
        "max_tokens": chance.randint(1, LONGEST_ANSWER),
        "stream": True,
        "messages": [{"role": "user", "content": f"{number} " + "x" * chance.randint(1, LONGEST_PROMPT)}],
    }
    leaves_after = chance.randint(1, 20) if chance.random() < 0.15 else None
    event: dict[str, Any] = {}
    with client.stream("POST", "/v1/messages", json=body) as response:
        if response.status_code == 529:
            return check_refusal(response)
        assert response.status_code == 200
        for num_lines, line in enumerate(response.iter_lines()):
            event = json.loads(line[6:]) if line.startswith("data: ") else event
            if num_lines == leaves_after:
                return "left"
    assert event["type"] == "message_stop", f"a stream broke off at {event}"
    return "answered"


def check_refusal(response: httpx.Response) -> str:
    error = json.loads(response.read())["error"]
    assert error["type"] == "overloaded_error"
    assert int(response.headers["retry-after"]) > 0
    assert "prompt is too long" not in error["message"]
    assert "context limit" not in error["message"]
    time.sleep(RETRY_AFTER_SECONDS)
    return "refused"


def parts_with_few_places(model_path: Path) -> tuple[Settings, ServerComponents]:
    """The parts of `pensieve serve`, with a short queue."""
    settings = settings_for(model=str(model_path), cache_disk="0", cache_memory="0")
    parts = model_components(settings)
    memory = parts.memory
    assert isinstance(memory, DeviceMemory)
    folder = resolve(str(model_path), progress=ConsoleProgress())

    async def start(_: str) -> ServedModel:
        engine = await Engine.start(
            folder, memory, parts.monitor, EngineOptions(max_queued=QUEUED, max_batch_size=MAX_RUNNING)
        )
        leave_room_for_three(memory)
        return engine

    return settings, replace(parts, start=start)


def test_all_requests_over_sockets_end_and_return_their_memory(model_path: Path) -> None:
    settings, parts = parts_with_few_places(model_path)
    with (
        running_server(settings, parts) as url,
        httpx.Client(base_url=url, timeout=300, limits=httpx.Limits(max_connections=CLIENTS)) as client,
        ThreadPoolExecutor(CLIENTS) as clients,
    ):
        level = client.get("/health").json()
        ends = Counter(clients.map(lambda number: ask_over_http(client, number), range(REQUESTS)))
        log.info("over sockets: %s", dict(ends))
        assert ends.total() == REQUESTS
        assert ends.keys() == {"answered", "refused", "left"}
        after = settled(client)
        assert after["reserved"] == level["reserved"]
        assert after["reserved_peak_bytes"] <= after["memory"]["capacity_bytes"]
        assert after["memory"]["total_bytes"] <= after["memory"]["capacity_bytes"]


def settled(client: httpx.Client) -> dict[str, Any]:
    """The server's health once no request is active."""
    health: dict[str, Any] = {}

    def is_idle() -> bool:
        health.update(client.get("/health").json())
        return not health["requests"]["active"] and not health["reserved"]["kv_cache_bytes"]

    wait_until(is_idle)
    return health
