"""A server in this process whose memory somebody else takes, over real sockets; and clients that ask it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import mlx.core as mx

from pensieve.cli.wiring import model_components
from pensieve.device.memory.device_memory import DeviceMemory
from tests.support.running_server import running_server, settings_for
from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

SPAN = 200_000_000
"""Of the limit, beside what the server holds when it is idle."""
CLIENTS = 6
SIZES = {"hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 4, "vocab_size": 259}


def write_model(home: Path) -> Path:
    return write_tiny_model(home / "pressed", tokenizer_folder=write_byte_tokenizer(home / "tokenizer"), **SIZES)


@contextmanager
def served(model_path: Path) -> Iterator[tuple[httpx.Client, DeviceMemory]]:
    """A client of a server that keeps prompts, and its memory, in this process."""
    settings = settings_for(model=str(model_path), cache_disk="0", cache_memory="50MB")
    parts = model_components(settings)
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


def is_refusal(reply: httpx.Response) -> bool:
    """Whether it is a 529 that tells when to come back, in words that no client takes for a prompt too long (C4)."""
    error = reply.json()["error"]
    return (
        reply.status_code == 529
        and int(reply.headers.get("retry-after", "0")) > 0
        and error["type"] == "overloaded_error"
        and "prompt is too long" not in error["message"]
        and "context limit" not in error["message"]
    )
