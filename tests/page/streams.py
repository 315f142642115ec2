"""Requests that stream until they are stopped, so that the page has something to show."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.support.running_server import ask
from tests.support.waiting import wait_until


@contextmanager
def running_streams(url: str, number: int) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=_read, args=(url, stop), name=f"stream-{each}") for each in range(number)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: num_active(url) == number)
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        wait_until(lambda: num_active(url) == 0)


def num_active(url: str) -> int:
    return int(httpx.get(f"{url}/health").json()["requests"]["active"])


def _read(url: str, stop: threading.Event) -> None:
    """One answer after the other."""
    body = ask("slowly", max_tokens=8000, stream=True)
    while not stop.is_set():
        with httpx.stream("POST", f"{url}/v1/messages", json=body, timeout=600) as reply:
            for _ in reply.iter_lines():
                if stop.is_set():
                    break
