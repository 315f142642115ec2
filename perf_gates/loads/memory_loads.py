"""Workloads for measuring memory. Each takes a server's URL and returns after the last answer."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final

import httpx

from perf_gates.measuring.measures import LINE

REQUEST_SECONDS: Final = 600
CHURNING_CLIENTS: Final = 4

Messages = Sequence[dict[str, str]]


def five_at_once(url: str) -> None:
    """Five concurrent requests of about 300 prompt and 200 output tokens, as in the design document (S11, G-3.2)."""
    prompts = [f"Test prompt {number} with medium length content. {LINE * 14}" for number in range(5)]
    with ThreadPoolExecutor(len(prompts)) as clients:
        list(clients.map(lambda prompt: answer(url, [_user(prompt)], 200), prompts))


def long_prompt(url: str) -> None:
    """A prompt of about 3,000 tokens, prefilled in chunks."""
    answer(url, [_user(f"{LINE * 148}Go on.")], 40)


def churn(seconds: float) -> Callable[[str], None]:
    """Concurrent clients that send requests, continue conversations and disconnect, in a seeded random order."""

    def load(url: str) -> None:
        ends_at = time.monotonic() + seconds
        with ThreadPoolExecutor(CHURNING_CLIENTS) as clients:
            list(clients.map(lambda number: _churning_client(url, number, ends_at), range(CHURNING_CLIENTS)))

    return load


def _churning_client(url: str, number: int, ends_at: float) -> None:
    rng = random.Random(number)  # noqa: S311 - not used for security
    turn = 0
    while time.monotonic() < ends_at:
        turn += 1
        text = f"Client {number}, entry {turn}. {LINE * rng.randint(1, 12)}What now?"
        match rng.randrange(4):
            case 0:
                disconnect_early(url, [_user(text)], 128, num_deltas=rng.randint(0, 8))
            case 1:
                _converse(url, text, num_turns=3, max_tokens=rng.randint(8, 24))
            case _:
                answer(url, [_user(text)], rng.randint(4, 64))


def _converse(url: str, text: str, *, num_turns: int, max_tokens: int) -> None:
    messages = [_user(text)]
    for _ in range(num_turns):
        text = answer(url, messages, max_tokens) or "…"
        messages += [{"role": "assistant", "content": text}, _user("And then?")]


def answer(url: str, messages: Messages, max_tokens: int) -> str:
    """The text of an answer at temperature 0.

    Raises:
        httpx.HTTPStatusError: the server refused the request.
        AssertionError: the stream ended without `message_stop`.
    """
    with _text_stream(url, messages, max_tokens) as deltas:
        return "".join(deltas)


def disconnect_early(url: str, messages: Messages, max_tokens: int, *, num_deltas: int) -> None:
    """Send a request and disconnect after `num_deltas` text deltas."""
    with _text_stream(url, messages, max_tokens) as deltas:
        for _ in range(num_deltas):
            if next(deltas, None) is None:
                return


@contextmanager
def _text_stream(url: str, messages: Messages, max_tokens: int) -> Iterator[Iterator[str]]:
    body: dict[str, Any] = {
        "model": "claude-any",
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "messages": list(messages),
    }
    with httpx.stream("POST", f"{url}/v1/messages", json=body, timeout=REQUEST_SECONDS) as response:
        response.raise_for_status()
        yield _text_deltas(response)


def _text_deltas(response: httpx.Response) -> Iterator[str]:
    event: dict[str, Any] = {}
    for line in response.iter_lines():
        event = json.loads(line[6:]) if line.startswith("data: ") else event
        if line.startswith("data: ") and event["type"] == "content_block_delta":
            yield str(event["delta"].get("text", ""))
    assert event.get("type") == "message_stop", f"the stream ended with {event.get('type')} instead of message_stop"


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
