"""Response times of equal requests, and the shape of error responses (G-2.1)."""

from __future__ import annotations

import statistics
import time
from typing import Any

import httpx

from perf_gates.loads.servers import ServerProcess
from perf_gates.reporting.report import Report

REQUESTS = 20
_GOOD: dict[str, Any] = {
    "model": "claude-any",
    "max_tokens": 8,
    "temperature": 0,
    "messages": [{"role": "user", "content": "Hello"}],
}
_WRONG: tuple[dict[str, Any], ...] = (
    {"messages": []},
    {"messages": "Hello"},
    {"messages": [{"role": "unknown", "content": "Hello"}]},
    {"max_tokens": 0},
    {"max_tokens": "many"},
    {"max_tokens": 10_000_000},
    {"temperature": 3},
    {"top_p": -1},
    {"stop_sequences": "END"},
    {"tools": [{"name": ""}]},
)


def test_equal_requests_take_similar_time(report: Report, server: ServerProcess) -> None:
    seconds = sorted(_response_seconds(server.url) for _ in range(REQUESTS + 1))[:REQUESTS]
    slowest = seconds[int(0.95 * REQUESTS) - 1]
    report.judge("G-2.1a", slowest)
    report.judge("G-2.1c", slowest / statistics.median(seconds))


def test_every_error_is_well_formed(report: Report, server: ServerProcess) -> None:
    url = f"{server.url}/v1/messages"
    replies = [httpx.post(url, json={**_GOOD, **wrong}, timeout=300) for wrong in _WRONG]
    replies += [httpx.post(url, content=b"{", timeout=300), httpx.get(f"{server.url}/nothing", timeout=300)]
    well_formed = sum(_is_error(reply) for reply in replies)
    report.judge("G-2.1b", 100 * well_formed / len(replies), f"(of {len(replies)})")


def _response_seconds(url: str) -> float:
    began = time.perf_counter()
    httpx.post(f"{url}/v1/messages", json=_GOOD, timeout=300).raise_for_status()
    return time.perf_counter() - began


def _is_error(reply: httpx.Response) -> bool:
    try:
        body = reply.json()
        return (
            400 <= reply.status_code < 500
            and body["type"] == "error"
            and bool(body["error"]["type"] and body["error"]["message"])
        )
    except (ValueError, KeyError, TypeError):
        return False
