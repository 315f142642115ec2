"""Time to first token with a cached prefix, from memory and from disk, compared with a cold prompt in one run (C2)."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

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
    """`max_shares` are the shares of the cold time that a prefix from memory and one from disk may take."""
    max_warm, max_from_disk = max_shares
    environment = {"PENSIEVE_HOME": str(tmp_path)}
    story = LINE * num_lines
    with serving("--model", str(folder.path), environment=environment) as server:
        time_stream(server.url, "Hello", 2)
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
    assert from_disk > 0.9 * num_tokens
    assert warm <= max_warm * cold, f"expected at most {max_warm:.0%} of the cold time, actual {warm / cold:.1%}"
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
