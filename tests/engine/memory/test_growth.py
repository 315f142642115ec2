"""Nothing grows with the number of requests: objects and caches are counted, not seconds (S7)."""

from __future__ import annotations

import asyncio
import functools
import gc
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from pensieve.cli.wiring import model_components
from pensieve.engine.memory.memos import MemoSizes
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.models.files.model_folder import ModelFolder
from tests.support.running_server import running_server, settings_for

WARM, MORE = 90, 240
"""By the end of the first number, every cache is full."""
NUM_ANSWERED = MORE * 5 // 6
"""One kind of request is refused."""
KINDS: Final = ("schema", "tools", "stream", "cancelled", "long", "refused")


def body_of(kind: str, chance: random.Random) -> dict[str, Any]:
    words = [f"word{chance.randrange(10**9)}" for _ in range(chance.randrange(3, 120 if kind == "long" else 20))]
    body: dict[str, Any] = {
        "model": "claude-any",
        "max_tokens": chance.randrange(2, 8),
        "messages": [{"role": "user", "content": " ".join(words)}],
    }
    schema = {"type": "object", "properties": {f"p{chance.randrange(10**9)}": {"enum": [str(chance.random())]}}}
    if kind == "schema":
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    if kind == "tools":
        body["tools"] = [{"name": f"tool{chance.randrange(10**6)}", "description": words[0], "input_schema": schema}]
        body["tool_choice"] = {"type": "any"}
    if kind == "refused":
        body["max_tokens"] = words[0]
    return body


def send(client: httpx.Client, num_requests: int, chance: random.Random) -> Counter[int]:
    """The number of replies by status. Each request has words, names, schemas and lengths of its own."""
    statuses: Counter[int] = Counter()
    for number in range(num_requests):
        kind = KINDS[number % len(KINDS)]
        body = body_of(kind, chance)
        if kind in ("stream", "cancelled"):
            max_tokens = 40 if kind == "cancelled" else 8
            with client.stream("POST", "/v1/messages", json=body | {"stream": True, "max_tokens": max_tokens}) as reply:
                for _ in reply.iter_lines():
                    if kind == "cancelled":
                        break
        else:
            reply = client.post("/v1/messages", json=body)
        statuses[reply.status_code] += 1
    return statuses


def forget_cancelled_timers() -> None:
    """A cancelled timer keeps its request's context until asyncio removes it: when half of 100 timers are cancelled."""

    def cancel_many(loop: asyncio.AbstractEventLoop, is_done: threading.Event) -> None:
        for _ in range(1000):
            loop.call_later(3600, is_done.set).cancel()
        loop.call_soon(is_done.set)  # runs after the cancelled ones are removed

    for loop in [each for each in gc.get_objects() if isinstance(each, asyncio.AbstractEventLoop)]:
        if loop.is_running():
            is_done = threading.Event()
            loop.call_soon_threadsafe(cancel_many, loop, is_done)
            assert is_done.wait(60)


def objects() -> Counter[str]:
    forget_cancelled_timers()
    gc.collect()
    return Counter(f"{type(each).__module__}.{type(each).__name__}" for each in gc.get_objects())


def cache_sizes() -> dict[str, int]:
    """Of the functions of Pensieve that remember results."""
    found = [each for each in gc.get_objects() if isinstance(each, functools._lru_cache_wrapper)]
    ours = [each for each in found if str(each.__module__).startswith("pensieve.")]
    return {f"{each.__module__}.{each.__qualname__}": each.cache_info().currsize for each in ours}


@pytest.mark.timeout(900)
def test_objects_and_caches_are_level_after_many_different_requests(
    tiny_folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path))
    monkeypatch.setattr(MemoSizes, "within", classmethod(lambda cls, _: cls(1_000_000, 10_000, 40_000)))
    settings = settings_for(model=str(tiny_folder.path), cache_memory="200kB", cache_disk="1MB")
    components = model_components(settings)
    assert isinstance(components.monitor, SlidingWindowMonitor)
    components.monitor._window_seconds = 0.0  # or it would hold the records of the last minute
    chance = random.Random(0)  # noqa: S311
    gc.unfreeze()  # the memos of functions are among what was imported before the first test
    with running_server(settings, components) as url, httpx.Client(base_url=url, timeout=600) as client:
        objects(), cache_sizes()  # counting makes a few objects the first time
        statuses = send(client, WARM, chance)
        before, caches_before = objects(), cache_sizes()
        statuses += send(client, MORE, chance)
        after, caches_after = objects(), cache_sizes()
    assert set(statuses) == {200, 400}
    grown = {name: after[name] - before[name] for name in after if after[name] - before[name] >= NUM_ANSWERED}
    assert grown == {}
    assert caches_after == caches_before
