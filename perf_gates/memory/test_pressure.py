"""A server whose memory somebody else takes: what it does for want of it, counted over real sockets (G-3.2, G-R2).

It runs in this process, so that memory can be taken from MLX beside it: what clients ask for alone never presses a
server that far, since they are let in only as far as there is memory for them.
"""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx
import pytest

from perf_gates.reporting.report import Report
from tests.support.pressed_server import ask, ask_until, is_refusal, press, served, write_model


@pytest.mark.timeout(120)
def test_a_pressed_server_gives_way_step_by_step_and_ends_every_request_well(report: Report, tmp_path: Path) -> None:
    with served(write_model(tmp_path)) as (client, memory):
        replies = [ask(client, number) for number in range(8)]
        held = press(memory)
        replies += ask_until(client, lambda health: health["pressure"]["times"]["requests_refused"] > 0)
        times = client.get("/health").json()["pressure"]["times"]
        del held
        mx.clear_cache()
        replies += ask_until(client, lambda health: not health["pressure"]["active"])
        crashes = int(ask(client, 1000).status_code != 200)
    well_ended = [reply for reply in replies if reply.status_code == 200 or is_refusal(reply)]
    report.judge("G-R2a", times["buffers_reclaimed"] + times["stored_prompts_shrunk"])
    report.judge("G-R2b", times["prefill_chunks_shrunk"])
    report.judge("G-R2c", times["requests_refused"])
    report.judge("G-R2d", crashes)
    report.judge("G-3.2b", 100 * len(well_ended) / len(replies), f"(of {len(replies)})")
