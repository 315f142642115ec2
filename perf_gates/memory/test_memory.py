"""Peak memory under a limit with three workloads, compared with what the ledger reserved.

Answers run to their `max_tokens`, so that the reserved memory is really used. Churn runs for a minute by default and
for an hour with PENSIEVE_CHURN_SECONDS=3600.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from pensieve.device.device import device_info
from pensieve.models.estimate.known_model import known_model
from pensieve.models.files.model_folder import ModelFolder
from perf_gates.loads.memory_loads import churn, five_at_once, long_prompt
from perf_gates.loads.servers import ServerProcess
from perf_gates.measuring.measures import time_stream
from perf_gates.measuring.memory_figures import HEAD, MemoryFigures, MemoryWorkload, measure_memory
from perf_gates.reporting.report import Report

REQUESTS = 5
LIMIT_TO_WEIGHTS = 2.8
"""Close enough to the used memory to be a meaningful limit: 1.5 GB for the embedded model on a CPU."""
CHURN_SECONDS = float(os.environ.get("PENSIEVE_CHURN_SECONDS", "60"))

_rows: list[tuple[str, MemoryFigures]] = []


def _show(report: Report) -> None:
    """Replace the memory table in the report's notes by one with all rows so far."""
    report.notes[:] = [note for note in report.notes if not note.startswith(HEAD)]
    report.add_note("\n".join([HEAD, *(figures.as_row(title) for title, figures in _rows)]))


@pytest.mark.timeout(900 + 4 * CHURN_SECONDS)
@pytest.mark.parametrize(
    ("title", "load"),
    [
        ("5 requests at once", five_at_once),
        ("a prompt of 3k tokens", long_prompt),
        (f"churn for {CHURN_SECONDS:.0f} s", churn(CHURN_SECONDS)),
    ],
    ids=["five", "long", "churn"],
)
def test_peak_memory_stays_under_the_limit_and_close_to_the_ledger(
    report: Report, folder: ModelFolder, tmp_path: Path, title: str, load: MemoryWorkload
) -> None:
    limit = f"{LIMIT_TO_WEIGHTS * _weights_bytes(folder) / 1e9:.1f}GB"
    arguments = ("--model", str(folder.path), "--memory-limit", limit, "--cache-disk", "0")
    figures = measure_memory(load, tmp_path, *arguments)
    _rows.append((title, figures))
    _show(report)
    report.judge("G-3.1i", 100 * figures.largest / figures.limit, f"({title})")
    report.judge("G-3.2d", figures.ledger_error_percent, f"({title})")
    report.judge("G-2.2e", figures.kv_not_released, f"({title})")


def _weights_bytes(folder: ModelFolder) -> int:
    dense = device_info().backend == "cpu"
    return known_model(folder.id, folder, dense=dense).weights_bytes


def test_five_requests_at_once_are_all_answered(report: Report, server: ServerProcess) -> None:
    """The test of the design document, with its limit of 12 GB."""
    prompts = [f"Test prompt {number} with medium length content." for number in range(REQUESTS)]
    with ThreadPoolExecutor(REQUESTS) as clients:
        answers = list(clients.map(lambda prompt: time_stream(server.url, prompt, 40), prompts))
    peak = httpx.get(f"{server.url}/health").json()["memory"]["peak_bytes"]
    report.judge("G-3.2c", sum(answer.output_tokens > 1 for answer in answers))
    report.judge("G-3.1f", max(server.peak_resident_bytes(), peak), "(the larger of MLX's peak and RSS)")
