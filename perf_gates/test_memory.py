"""Memory under the seed's load: five requests at once (G-2.2, G-3.1, G-3.2)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx

from perf_gates.conftest import Served
from perf_gates.measures import over_http
from perf_gates.report import Report

REQUESTS = 5


def test_five_requests_at_once_stay_under_the_limit_and_give_everything_back(report: Report, served: Served) -> None:
    over_http(served.url, "Hello", 4)
    before = _memory(served)
    prompts = [f"Test prompt {number} with medium length content." for number in range(REQUESTS)]
    with ThreadPoolExecutor(REQUESTS) as clients:
        answers = list(clients.map(lambda prompt: over_http(served.url, prompt, 40), prompts))
    after = _memory(served)
    report.judge("G-3.2c", sum(answer.output_tokens > 1 for answer in answers))
    report.judge("G-2.2e", after["kv_cache_bytes"] - before["kv_cache_bytes"])
    report.judge("G-3.1f", max(served.peak_resident_bytes(), after["peak_bytes"]), "(the larger of MLX's peak and RSS)")


def _memory(served: Served) -> dict[str, int]:
    memory: dict[str, int] = httpx.get(f"{served.url}/health").json()["memory"]
    return memory
