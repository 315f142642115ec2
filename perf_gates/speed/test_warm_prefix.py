"""Time to first token with a cached prefix, from memory and from disk, compared with a cold prompt in one run (C2).

A prompt that is cached still takes what a short one takes: on a GPU that may be a fifth of a cold prompt's time. And
where a GPU computes keys and values faster than a disk reads them, they are not read.
"""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from pensieve.device.device import device_info
from pensieve.models.files.model_folder import ModelFolder
from perf_gates.loads.servers import ServerProcess, serving
from perf_gates.measuring.measures import LINE, STORY, time_stream
from perf_gates.reporting.report import Report

MAX_TO_SHORT = 1.3
"""What a prompt from memory may take, over a short one."""
MAX_NOT_READ = 1.2
"""What a prompt that is computed again may take, over the first time."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("num_lines", "max_shares"), [(53, (0.08, 0.10)), (214, (0.03, 0.04))], ids=["1k", "4k"])
def test_a_cached_prefix_is_not_prefilled_again(
    report: Report,
    folder: ModelFolder,
    tmp_path: Path,
    num_lines: int,
    max_shares: tuple[float, float],
) -> None:
    """`max_shares` are the shares of the cold time that a prefix from memory and one from disk may take."""
    max_warm, max_from_disk = max_shares
    environment = {"PENSIEVE_HOME": str(tmp_path)}
    story = LINE * num_lines
    with serving("--model", str(folder.path), environment=environment) as server:
        time_stream(server.url, "Hello", 2)
        num_tokens, cold = _first_token(server, f"{story}Which one?")
        _, warm = _first_token(server, f"{story}And then?")
        short = min(time_stream(server.url, f"{number} {STORY}", 2).first_token_seconds for number in range(3))
    with serving("--model", str(folder.path), environment=environment) as server:
        time_stream(server.url, "Hello", 2)
        _, restored = _first_token(server, f"{story}Why so?")
        from_disk = httpx.get(f"{server.url}/health").json()["prompt_tokens"]["from_disk"]
    report.add_note(
        f"First token of a prompt of {num_tokens} tokens: cold {cold:.2f} s, from memory {warm / cold:.1%} of it, "
        f"from disk after a restart {restored / cold:.1%} ({from_disk} tokens read)."
    )
    report.add_note(f"First token of a short prompt there: {short:.3f} s.")
    most = max(max_warm * cold, MAX_TO_SHORT * short)
    assert warm <= most, f"expected at most {most:.3f} s from memory, actual {warm:.3f} s"
    if device_info().backend == "cuda" and not from_disk:
        assert restored <= MAX_NOT_READ * cold, f"not read, but {restored / cold:.1%} of the cold time"
        return
    assert from_disk > 0.9 * num_tokens
    assert restored <= max_from_disk * cold, (
        f"expected at most {max_from_disk:.0%} of the cold time from disk, actual {restored / cold:.1%}"
    )


def _first_token(server: ServerProcess, prompt: str) -> tuple[int, float]:
    timing = time_stream(server.url, prompt, 2)
    usage = httpx.post(
        f"{server.url}/v1/messages/count_tokens",
        json={"model": "claude-any", "messages": [{"role": "user", "content": prompt}]},
        timeout=300,
    ).json()
    return int(usage["input_tokens"]), timing.first_token_seconds
