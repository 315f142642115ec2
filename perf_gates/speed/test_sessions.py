"""Later turns of a session reuse the prompt cache (G-2.2, G-3.1)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from pensieve.models.files.model_folder import ModelFolder
from perf_gates.loads.servers import serving
from perf_gates.measuring.measures import LINE, time_stream
from perf_gates.reporting.report import Report


@pytest.mark.timeout(900)
def test_a_session_continues_from_the_prompt_cache(report: Report, folder: ModelFolder) -> None:
    with serving("--model", str(folder.path), "--cache-disk", "0") as server:
        time_stream(server.url, "Hello", 2)
        cold = time_stream(server.url, f"{LINE * 40}Which one?", 2).first_token_seconds
        warm = time_stream(server.url, f"{LINE * 40}And then?", 2).first_token_seconds
        messages: list[dict[str, Any]] = [{"role": "user", "content": f"{LINE * 40}Who wrote it down?"}]
        _turn(server.url, messages)
        usage = _turn(server.url, messages)
    prompt = usage["input_tokens"] + usage["cache_read_input_tokens"] + usage["cache_creation_input_tokens"]
    report.judge("G-2.2f", warm / cold)
    report.judge("G-3.1g", 100 * usage["cache_read_input_tokens"] / prompt, f"(of {prompt} tokens)")


def _turn(url: str, messages: list[dict[str, Any]]) -> dict[str, int]:
    """Send `messages`, append the answer and another question to them, and return the usage."""
    body = {"model": "claude-any", "max_tokens": 16, "temperature": 0, "messages": messages}
    message = httpx.post(f"{url}/v1/messages", json=body, timeout=300).raise_for_status().json()
    messages += [{"role": "assistant", "content": message["content"]}, {"role": "user", "content": "And then?"}]
    usage: dict[str, int] = message["usage"]
    return usage
