"""A server short of memory degrades in steps and still ends every request properly (G-3.2, G-R2).

The server runs in this process, so that the test can occupy MLX memory itself. Requests alone never cause so much
pressure, because they are admitted only while there is memory for them.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mlx.core as mx

from perf_gates.loads.pressed_server import ask, ask_until, is_refusal, limited_server, press
from perf_gates.loads.shapes import SHAPES, write_shape
from perf_gates.reporting.report import Report

SMALL = dataclasses.replace(
    SHAPES["deepseek-coder-6.7b"],
    hidden=256,
    inner=1024,
    num_layers=4,
    num_heads=4,
    num_kv_heads=2,
    head_size=16,
    vocabulary=259,
    window_tokens=2048,
)


def test_a_server_short_of_memory_degrades_in_steps_and_ends_all_requests_properly(
    report: Report, tmp_path: Path
) -> None:
    write_shape(tmp_path, SMALL)
    with limited_server(tmp_path) as (client, memory):
        replies = [ask(client, number) for number in range(8)]
        held = press(memory)
        replies += ask_until(client, lambda health: health["pressure"]["times"]["requests_refused"] > 0)
        times = client.get("/health").json()["pressure"]["times"]
        del held
        mx.clear_cache()
        replies += ask_until(client, lambda health: not health["pressure"]["active"])
        crashes = int(ask(client, 1000).status_code != 200)
    ended_properly = [reply for reply in replies if reply.status_code == 200 or is_refusal(reply)]
    report.judge("G-R2a", times["buffers_reclaimed"] + times["stored_prompts_shrunk"])
    report.judge("G-R2b", times["prefill_chunks_shrunk"])
    report.judge("G-R2c", times["requests_refused"])
    report.judge("G-R2d", crashes)
    report.judge("G-3.2b", 100 * len(ended_properly) / len(replies), f"(of {len(replies)})")
