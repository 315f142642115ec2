"""A server whose memory runs short: what it says and does meanwhile, and that all of it is undone (G-R2, G-3.2)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import mlx.core as mx
import pytest

from pensieve.cli.parts import real_parts
from pensieve.metal.memory import DeviceMemory
from tests.running_server import running_server, settings_for
from tests.tiny_model import write_byte_tokenizer, write_tiny_model

SPAN = 200_000_000
"""Of the limit, beside what the server holds when it is idle."""
CLIENTS = 6
SIZES = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "vocab_size": 259}


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("models")
    return write_tiny_model(home / "pressed", tokenizer_folder=write_byte_tokenizer(home / "tokenizer"), **SIZES)


@contextmanager
def served(model_path: Path) -> Iterator[tuple[httpx.Client, DeviceMemory]]:
    """A client of a server that keeps prompts, and its memory, in this process."""
    settings = settings_for(model=str(model_path), cache_disk="0", cache_memory="50MB")
    parts = real_parts(settings)
    memory = parts.memory
    assert isinstance(memory, DeviceMemory)
    with running_server(settings, parts) as url, httpx.Client(base_url=url, timeout=60) as client:
        memory.capacity_bytes = memory.reserved_bytes() + SPAN
        yield client, memory


def press(memory: DeviceMemory) -> mx.array:
    """The whole limit, held by somebody whom nothing was promised."""
    held = mx.zeros(memory.capacity_bytes - mx.get_active_memory() + 1, mx.uint8)
    mx.eval(held)
    return held


def ask(client: httpx.Client, number: int) -> httpx.Response:
    body = {
        "model": "claude-any",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": f"{number} " + "word " * 40}],
    }
    return client.post("/v1/messages", json=body)


def ask_until(client: httpx.Client, holds: Callable[[dict[str, Any]], bool]) -> list[httpx.Response]:
    """Have several clients ask again and again until /health says so."""
    replies: list[httpx.Response] = []
    ends_at = time.monotonic() + 20
    with ThreadPoolExecutor(CLIENTS) as clients:
        while not holds(client.get("/health").json()):
            assert time.monotonic() < ends_at, client.get("/health").json()
            first = len(replies)
            replies += clients.map(lambda number: ask(client, number), range(first, first + CLIENTS))
    return replies


def alerts(health: dict[str, Any]) -> list[str]:
    return [alert["type"] for alert in health["alerts"] if alert["type"] == "high_memory_usage"]


def check_refusal(reply: httpx.Response) -> None:
    assert reply.status_code == 529
    assert int(reply.headers["retry-after"]) > 0
    error = reply.json()["error"]
    assert error["type"] == "overloaded_error"
    assert "prompt is too long" not in error["message"]
    assert "context limit" not in error["message"]


def test_a_pressed_server_takes_every_step_answers_or_refuses_and_recovers(model_path: Path) -> None:
    with served(model_path) as (client, memory):
        assert {ask(client, number).status_code for number in range(8)} == {200}
        before = client.get("/health").json()
        assert (before["pressure"]["active"], alerts(before)) == ([], [])
        assert before["reserved"]["stored_prompts_bytes"] > 0

        held = press(memory)
        replies = ask_until(client, lambda health: health["pressure"]["times"]["requests_refused"] > 0)
        pressed = client.get("/health").json()
        assert alerts(pressed) == ["high_memory_usage"]
        assert "requests_refused" in pressed["pressure"]["active"]
        assert pressed["pressure"]["chunk_tokens"] < before["pressure"]["chunk_tokens"]
        assert all(times > 0 for times in pressed["pressure"]["times"].values()), pressed["pressure"]
        refused = [reply for reply in replies if reply.status_code != 200]
        assert 0 < len(refused) < len(replies), "a request alone is always taken"
        for reply in refused:
            check_refusal(reply)

        del held
        mx.clear_cache()
        ask_until(client, lambda health: health["pressure"]["active"] == [])
        after = client.get("/health").json()
        assert after["pressure"]["chunk_tokens"] == before["pressure"]["chunk_tokens"]
        assert alerts(after) == []
        assert ask(client, 1000).status_code == 200
        assert after["reserved"]["kv_cache_bytes"] == 0
