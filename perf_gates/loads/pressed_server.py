"""A server short of memory. It runs in this process, so that a test can occupy MLX memory itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import mlx.core as mx

from pensieve.cli.wiring import model_components
from pensieve.device.memory.device_memory import DeviceMemory
from perf_gates.loads.in_process_server import running_server, settings_for

SPARE_BYTES: Final = 200_000_000
"""Memory that the limit leaves on top of what the idle server reserves."""
CLIENTS: Final = 6
HUNG_SECONDS: Final = 600
"""A server that takes longer to react to pressure is considered hung."""


@contextmanager
def limited_server(model_path: Path) -> Iterator[tuple[httpx.Client, DeviceMemory]]:
    """Yield a client of a server with a prompt cache, and the server's memory."""
    settings = settings_for(model=str(model_path), cache_disk="0", cache_memory="50MB")
    components = model_components(settings)
    memory = components.memory
    assert isinstance(memory, DeviceMemory)
    with running_server(settings, components) as url, httpx.Client(base_url=url, timeout=600) as client:
        memory.capacity_bytes = memory.reserved_bytes() + SPARE_BYTES
        yield client, memory


def press(memory: DeviceMemory) -> mx.array:
    """Allocate an array that exceeds the limit without reserving it. Pressure lasts while the caller keeps it."""
    num_bytes = memory.capacity_bytes - mx.get_active_memory()
    held = mx.zeros(num_bytes // 4 + 1, mx.uint32)  # in uint8, 2 GB would exceed the range of a shape
    mx.eval(held)
    return held


def ask(client: httpx.Client, number: int) -> httpx.Response:
    body = {
        "model": "claude-any",
        "max_tokens": 32,
        "messages": [{"role": "user", "content": f"{number} " + "word " * 40}],
    }
    return client.post("/v1/messages", json=body)


def ask_until(client: httpx.Client, is_reached: Callable[[dict[str, Any]], bool]) -> list[httpx.Response]:
    """Send requests from several clients until `is_reached(/health)`, and return all replies."""
    replies: list[httpx.Response] = []
    ends_at = time.monotonic() + HUNG_SECONDS
    with ThreadPoolExecutor(CLIENTS) as clients:
        while not is_reached(health := client.get("/health").json()):
            assert time.monotonic() < ends_at, health
            first = len(replies)
            replies += clients.map(lambda number: ask(client, number), range(first, first + CLIENTS))
    return replies


def is_refusal(reply: httpx.Response) -> bool:
    """Whether it is a 529 with retry-after whose message no client mistakes for a prompt that is too long (C4)."""
    error = reply.json()["error"]
    return (
        reply.status_code == 529
        and int(reply.headers.get("retry-after", "0")) > 0
        and error["type"] == "overloaded_error"
        and "prompt is too long" not in error["message"]
        and "context limit" not in error["message"]
    )
