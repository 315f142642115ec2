"""Streams as a client sees them: first token, intervals between tokens, and successful connections (G-2.2)."""

from __future__ import annotations

import statistics
from concurrent.futures import ThreadPoolExecutor

import httpx

from perf_gates.loads.servers import ServerProcess, serving
from perf_gates.measuring.measures import STORY, time_stream
from perf_gates.reporting.report import Report

CONNECTIONS = 100
AT_ONCE = 8


def test_tokens_arrive_at_even_intervals(report: Report, server: ServerProcess) -> None:
    timings = [time_stream(server.url, STORY, 64) for _ in range(3)]
    intervals = sorted(interval for timing in timings for interval in timing.intervals_seconds)
    p95_interval = intervals[int(0.95 * len(intervals))]
    report.judge("G-2.2a", 1000 * statistics.median(timing.first_token_seconds for timing in timings))
    report.judge_metric("p95_token_interval_ms", 1000 * p95_interval)
    report.judge("G-2.2g", p95_interval / statistics.median(intervals))


def test_connections_succeed(report: Report) -> None:
    """Scripted, because a model would only make it slower."""
    with serving("--script", "/dev/null") as server, ThreadPoolExecutor(AT_ONCE) as clients:
        succeeded = list(clients.map(lambda _: _is_answered(server.url), range(CONNECTIONS)))
    report.judge("G-2.2d", 100 * sum(succeeded) / CONNECTIONS, f"(of {CONNECTIONS}, {AT_ONCE} at a time)")


def _is_answered(url: str) -> bool:
    try:
        return time_stream(url, "Hello", 16).output_tokens > 0
    except (httpx.HTTPError, IndexError):
        return False
