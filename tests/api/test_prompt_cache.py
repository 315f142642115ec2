"""The prompt cache as seen over HTTP: in usage, in a header and in /health (C2, W17)."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import pytest

SYSTEM = "You know every lighthouse by its light. " * 20


def ask(client: anthropic.Anthropic, *turns: Any, **given: Any) -> httpx.Response:
    messages = [{"role": ("user", "assistant")[number % 2], "content": turn} for number, turn in enumerate(turns)]
    body = {"model": "claude-any", "max_tokens": 5, "temperature": 0, "system": SYSTEM, "messages": messages, **given}
    return httpx.post(f"{str(client.base_url).rstrip('/')}/v1/messages", json=body, timeout=300)


def test_a_second_turn_is_read_from_the_cache(tiny_client: anthropic.Anthropic) -> None:
    first = ask(tiny_client, "Which one?").json()
    assert first["usage"]["cache_read_input_tokens"] == 0
    response = ask(tiny_client, "Which one?", first["content"], "And then?")
    usage = response.json()["usage"]
    whole = sum(usage[name] for name in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"))
    assert usage["cache_read_input_tokens"] > 0.9 * whole
    assert response.headers["pensieve-prompt-cache"].endswith(f"prompt={whole}")
    figures = httpx.get(f"{str(tiny_client.base_url).rstrip('/')}/health").json()
    assert figures["prompt_tokens"]["read"] == usage["cache_read_input_tokens"]
    assert figures["memory"]["stored_prompts_bytes"] > 0


def test_cache_creation_is_reported_by_time_to_live(tiny_client: anthropic.Anthropic) -> None:
    marked = [{"type": "text", "text": "Which one?", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    usage = ask(tiny_client, marked).json()["usage"]
    assert usage["cache_creation"] == {
        "ephemeral_5m_input_tokens": 0,
        "ephemeral_1h_input_tokens": usage["cache_creation_input_tokens"],
    }
    assert usage["cache_creation_input_tokens"] > usage["input_tokens"] > 0
    with tiny_client.messages.stream(
        model="claude-any",
        max_tokens=5,
        system=SYSTEM,
        messages=[{"role": "user", "content": "Which one?"}],
    ) as stream:
        streamed = stream.get_final_message().usage
    assert streamed.cache_read_input_tokens == usage["cache_creation_input_tokens"] + usage["input_tokens"] - 1


@pytest.mark.parametrize("changed", ["system", "tools"])
def test_a_cache_miss_is_reported_with_the_part_that_differs(tiny_client: anthropic.Anthropic, changed: str) -> None:
    tool = {"name": "look", "description": SYSTEM, "input_schema": {"type": "object"}}
    ask(tiny_client, "Which one?", tools=[tool])
    if changed == "system":
        response = ask(tiny_client, "Which one?", tools=[tool], system=f"Now. {SYSTEM * 3}")
    else:
        response = ask(tiny_client, "Which one?", tools=[{**tool, "name": "see"}])
    assert response.headers["pensieve-prompt-cache"].endswith(f"differs-in={changed}")
    assert (
        httpx.get(f"{str(tiny_client.base_url).rstrip('/')}/health").json()["prompt_tokens"]["differed_in"][changed]
        == 1
    )


def test_a_max_tokens_of_0_fills_the_cache_and_generates_nothing(tiny_client: anthropic.Anthropic) -> None:
    filled = ask(tiny_client, "Which one?", max_tokens=0).json()
    assert (filled["content"], filled["stop_reason"], filled["usage"]["output_tokens"]) == ([], "max_tokens", 0)
    usage = ask(tiny_client, "Which one?").json()["usage"]
    whole = sum(filled["usage"][name] for name in ("input_tokens", "cache_creation_input_tokens"))
    assert usage["cache_read_input_tokens"] == whole - 1  # the last token is always computed, to sample the next one


@pytest.mark.parametrize("stream", [False, True])
def test_the_header_and_the_usage_of_openais_routes_report_the_cache(
    tiny_client: anthropic.Anthropic,
    stream: bool,  # noqa: FBT001
) -> None:
    url = f"{str(tiny_client.base_url).rstrip('/')}/v1/chat/completions"
    turns = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Which one?"}]
    body = {"model": "claude-any", "max_tokens": 5, "temperature": 0, "messages": turns, "stream": stream}
    assert httpx.post(url, json=body, timeout=300).headers["pensieve-prompt-cache"].startswith("read=0, prompt=")
    read, prompt = httpx.post(url, json=body, timeout=300).headers["pensieve-prompt-cache"].split(", ")
    assert int(read.removeprefix("read=")) == int(prompt.removeprefix("prompt=")) - 1
