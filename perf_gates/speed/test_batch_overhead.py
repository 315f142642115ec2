"""Overhead with concurrent clients, over mlx-lm's BatchGenerator and over a scripted engine that costs nothing."""

from __future__ import annotations

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pensieve.models.loading.load import LoadedModel
from perf_gates.loads.servers import ServerProcess, serving
from perf_gates.measuring import bare_batch
from perf_gates.measuring.measures import STORY, time_stream
from perf_gates.reporting.report import Report

OUTPUT_TOKENS = 40
LONGER_TOKENS = 128
"""Answers long enough that prefill takes less than a quarter of BatchGenerator's time. Only reported."""
TICK_SECONDS = 0.01
TICKS = 200


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("num_clients", "rounds"), [(4, 3), (8, 15), (16, 15)])
def test_concurrent_clients_get_the_speed_of_the_bare_batch(
    report: Report, server: ServerProcess, bare_model: LoadedModel, num_clients: int, rounds: int
) -> None:
    prompts = [f"{STORY} It is number {number}." for number in range(num_clients)]
    bare_batch.tokens_per_second(bare_model, prompts[:1], 4)
    ratios = []
    for _ in range(rounds):
        bare = bare_batch.tokens_per_second(bare_model, prompts, OUTPUT_TOKENS)
        ratios.append(_served_tokens_per_second(server.url, prompts, OUTPUT_TOKENS) / bare)
    ratio = statistics.median(ratios)
    report.add_note(f"{num_clients} clients at once: {ratio:.3f} of BatchGenerator alone (median of {rounds} pairs).")
    longer = _served_tokens_per_second(server.url, prompts, LONGER_TOKENS)
    longer /= bare_batch.tokens_per_second(bare_model, prompts, LONGER_TOKENS)
    report.add_note(f"{num_clients} clients at once, answers of {LONGER_TOKENS} tokens: {longer:.3f} (one pair).")
    if num_clients == 8:
        report.judge_metric("batched_to_bare_tokens_per_second_ratio", ratio, f"(median of {rounds} pairs)")
    elif num_clients == 16:
        report.judge_metric("batched_16_to_bare_tokens_per_second_ratio", ratio, f"(median of {rounds} pairs)")


def test_concurrent_clients_keep_up_with_a_metronome(report: Report, tmp_path: Path) -> None:
    """The engine emits at a fixed pace, so any loss comes from events, JSON and sockets."""
    script = tmp_path / "metronome.toml"
    script.write_text(f'[[reply]]\ntext = "tick "\nrepeat = {TICKS}\nseconds_per_token = {TICK_SECONDS}\n')
    with serving("--script", str(script)) as server:
        time_stream(server.url, "Hello", 8)
        for num_clients in (1, 4, 8, 16):
            ratio = _served_tokens_per_second(server.url, ["Hello"] * num_clients, TICKS) * TICK_SECONDS / num_clients
            report.add_note(f"{num_clients} clients of a metronome: {ratio:.3f} of its pace.")
            if num_clients == 8:
                ratio_at_eight = ratio
    report.judge("G-P1c", ratio_at_eight)


def _served_tokens_per_second(url: str, prompts: list[str], max_tokens: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(len(prompts)) as clients:
        answers = list(clients.map(lambda prompt: time_stream(url, prompt, max_tokens), prompts))
    return sum(answer.output_tokens for answer in answers) / (time.perf_counter() - began)
