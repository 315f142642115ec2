"""From the command to the first words of an answer, the model being converted already (G-1.2)."""

from __future__ import annotations

import time

from pensieve.models.sources import ModelFolder
from perf_gates.conftest import serving
from perf_gates.measures import over_http
from perf_gates.report import Report


def test_a_server_answers_within_seconds_of_its_start(report: Report, folder: ModelFolder) -> None:
    began = time.perf_counter()
    with serving("--model", str(folder.path), "--cache-memory", "0", "--cache-disk", "0") as served:
        ready = time.perf_counter() - began
        timing = over_http(served.url, "What is the capital of France?", 2)
    report.say(
        f"From the command to its ready line: {ready:.1f} s; to the first words of an answer: "
        f"{ready + timing.first_token_seconds:.1f} s."
    )
    report.judge("G-1.2a", ready, "(from the command to the ready line)")
