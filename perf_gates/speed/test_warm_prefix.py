"""Time to first token with a cached prefix, from memory and from disk, compared with a cold prompt in one run (C2)."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from pensieve.device.device import device_info
from pensieve.models.files.model_folder import ModelFolder
from perf_gates.loads.servers import ServerProcess, serving
from perf_gates.measuring.measures import LINE, time_stream
from perf_gates.reporting.report import Report


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("num_lines", "max_shares"), [(53, (0.08, 0.10)), (214, (0.03, 0.04))], ids=["1k", "4k"])
def test_a_cached_prefix_is_not_prefilled_again(
    report: Report,
    folder: ModelFolder,
    tmp_path: Path,
    num_lines: int,
    max_shares: tuple[float, float],
) -> None:
    """`max_shares` are the shares of the cold time that a prefix from memory and one from disk may take.

    On a GPU, what a short prompt takes is left out of the first: a pass over a few tokens takes as long as one over
    hundreds. A prefix is read from disk only where that is faster than computing it, which it is not on an H200.
    """
    is_gpu = device_info().backend != "cpu"
    max_warm, max_from_disk = max_shares
    environment = {"PENSIEVE_HOME": str(tmp_path)}
    story = LINE * num_lines
    with serving("--model", str(folder.path), environment=environment) as server:
        time_stream(server.url, "Hello", 2)
        short = time_stream(server.url, "Hello again", 2).first_token_seconds if is_gpu else 0.0
        num_tokens, cold = _first_token(server, f"{story}Which one?")
        _, warm = _first_token(server, f"{story}And then?")
    with serving("--model", str(folder.path), environment=environment) as server:
        time_stream(server.url, "Hello", 2)
        _, restored = _first_token(server, f"{story}Why so?")
        from_disk = httpx.get(f"{server.url}/health").json()["prompt_tokens"]["from_disk"]
    report.add_note(
        f"First token of a prompt of {num_tokens} tokens: cold {cold:.2f} s, from memory {warm / cold:.1%} of it, "
        f"from disk after a restart {restored / cold:.1%} ({from_disk} tokens read)."
    )
    added = (warm - short) / (cold - short)
    assert added <= max_warm, f"expected at most {max_warm:.0%} of the cold time, actual {added:.1%}"
    assert is_gpu or from_disk > 0.9 * num_tokens
    max_share = 1.1 if is_gpu else max_from_disk
    assert restored <= max_share * cold, (
        f"expected at most {max_share:.0%} of the cold time after a restart, actual {restored / cold:.1%}"
    )


def _first_token(server: ServerProcess, prompt: str) -> tuple[int, float]:
    timing = time_stream(server.url, prompt, 2)
    usage = httpx.post(
        f"{server.url}/v1/messages/count_tokens",
        json={"model": "claude-any", "messages": [{"role": "user", "content": prompt}]},
        timeout=300,
    ).json()
    return int(usage["input_tokens"]), timing.first_token_seconds
