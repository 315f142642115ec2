"""Prefilling a new long prompt and decoding running streams must not stall each other (G-P2)."""

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
from perf_gates.measuring.measures import STORY, arrival_times, make_prompt, time_stream
from perf_gates.reporting.report import Report

BASELINE_TOKENS = 24
ROUNDS = 2


@pytest.mark.timeout(900)
def test_a_long_prompt_and_a_running_stream_do_not_stall_each_other(
    report: Report, server: ServerProcess, bare_model: LoadedModel
) -> None:
    newcomer = make_prompt(bare_model, 1024)
    gaps, delays = [], []
    for number in range(ROUNDS):
        bare = newcomer_first_token_seconds(bare_model, STORY, newcomer, baseline_tokens=BASELINE_TOKENS)
        gap, first_token_seconds = _gap_and_first_token(server.url, f"{number} {newcomer}")
        gaps.append(gap)
        delays.append(first_token_seconds / bare)
    report.judge("G-P2a", statistics.median(gaps), f"(median of {ROUNDS})")
    report.judge("G-P2b", statistics.median(delays), f"(median of {ROUNDS}, over BatchGenerator in steps of 2048)")


def _gap_and_first_token(url: str, newcomer: str) -> tuple[float, float]:
    """The running stream's longest interval over its median before, and the newcomer's time to first token."""
    arrived_at: list[float] = []
    has_baseline, stop = Event(), Event()

    def run() -> None:
        for arrival in arrival_times(url, STORY, 1000):
            arrived_at.append(arrival)
            if len(arrived_at) > BASELINE_TOKENS:
                has_baseline.set()
            if stop.is_set():
                return

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        assert has_baseline.wait(300), "the running stream did not begin"
        sent_at = time.perf_counter()
        try:
            timing = time_stream(url, newcomer, 2)
        finally:
            stop.set()
        running.result()
    baseline = statistics.median(after - before for before, after in itertools.pairwise(arrived_at[:BASELINE_TOKENS]))
    first_token_at = sent_at + timing.first_token_seconds
    during = [
        after - before
        for before, after in itertools.pairwise(arrived_at)
        if after > sent_at and before < first_token_at
    ]
    return max(during) / baseline, timing.first_token_seconds
