"""A newcomer's long prompt and the streams that run: neither may hold the other up (G-P2)."""

from __future__ import annotations

import itertools
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from pensieve.models.loading.load import LoadedModel
from perf_gates.loads.servers import ServerProcess
from perf_gates.measuring.bare_batch import newcomer_first_token_seconds
from perf_gates.measuring.measures import STORY, arrivals, make_prompt, time_stream
from perf_gates.reporting.report import Report

BASELINE_TOKENS = 24
ROUNDS = 2


@pytest.mark.timeout(900)
def test_a_long_prompt_and_a_running_stream_get_on(
    report: Report, server: ServerProcess, bare_model: LoadedModel
) -> None:
    newcomer = make_prompt(bare_model, 1024)
    gaps, delays = [], []
    for number in range(ROUNDS):
        large = newcomer_first_token_seconds(bare_model, STORY, newcomer, baseline_tokens=BASELINE_TOKENS)
        gap, first_token_seconds = _gap_and_first_token(server.url, f"{number} {newcomer}")
        gaps.append(gap)
        delays.append(first_token_seconds / large)
    report.judge("G-P2a", statistics.median(gaps), f"(median of {ROUNDS})")
    report.judge("G-P2b", statistics.median(delays), f"(median of {ROUNDS}, over BatchGenerator in steps of 2048)")


def _gap_and_first_token(url: str, newcomer: str) -> tuple[float, float]:
    """The running stream's longest interval over its usual one, and the newcomer's time to first token."""
    at: list[float] = []
    is_usual, stop = Event(), Event()

    def run() -> None:
        for arrived_at in arrivals(url, STORY, 1000):
            at.append(arrived_at)
            if len(at) > BASELINE_TOKENS:
                is_usual.set()
            if stop.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        assert is_usual.wait(300), "the running stream did not begin"
        came_at = time.perf_counter()
        try:
            timing = time_stream(url, newcomer, 2)
        finally:
            stop.set()
        running.result()
    usual = statistics.median(after - before for before, after in itertools.pairwise(at[:BASELINE_TOKENS]))
    read_at = came_at + timing.first_token_seconds
    during = [after - before for before, after in itertools.pairwise(at) if after > came_at and before < read_at]
    return max(during) / usual, timing.first_token_seconds
