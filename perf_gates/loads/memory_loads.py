"""The loads under which memory is measured: each takes a server's URL and returns when the last answer has come."""

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
    """Five concurrent requests, of some 300 tokens and 200 more: all that their promise holds (S11, G-3.2)."""
    prompts = [f"Test prompt {number} with medium length content. {LINE * 14}" for number in range(5)]
    with ThreadPoolExecutor(len(prompts)) as clients:
        list(clients.map(lambda prompt: answer(url, [_user(prompt)], 200), prompts))


def long_prompt(url: str) -> None:
    """Three thousand tokens, read in chunks."""
    answer(url, [_user(f"{LINE * 148}Go on.")], 40)


def churn(seconds: float) -> Callable[[str], None]:
    """Clients that ask, talk on and leave, in an order that chance has fixed, for so long."""

    def load(url: str) -> None:
        ends_at = time.monotonic() + seconds
        with ThreadPoolExecutor(CHURNING_CLIENTS) as clients:
            list(clients.map(lambda number: _churning_client(url, number, ends_at), range(CHURNING_CLIENTS)))

    return load


def _churning_client(url: str, number: int, ends_at: float) -> None:
    chance = random.Random(number)  # noqa: S311 - no secret
    turn = 0
    while time.monotonic() < ends_at:
        turn += 1
        text = f"Client {number}, entry {turn}. {LINE * chance.randint(1, 12)}What now?"
        match chance.randrange(4):
            case 0:
                leave(url, [_user(text)], 128, num_pieces=chance.randint(0, 8))
            case 1:
                _converse(url, text, num_turns=3, max_tokens=chance.randint(8, 24))
            case _:
                answer(url, [_user(text)], chance.randint(4, 64))


def _converse(url: str, text: str, *, num_turns: int, max_tokens: int) -> None:
    told = [_user(text)]
    for _ in range(num_turns):
        told += [{"role": "assistant", "content": answer(url, told, max_tokens) or "…"}, _user("And then?")]


def answer(url: str, messages: Messages, max_tokens: int) -> str:
    """The text of an answer at temperature 0.

    Raises:
        httpx.HTTPStatusError: it was refused.
        AssertionError: it broke off.
    """
    with _pieces(url, messages, max_tokens) as pieces:
        return "".join(pieces)


def leave(url: str, messages: Messages, max_tokens: int, *, num_pieces: int) -> None:
    """Ask, and hang up after so many pieces of the answer."""
    with _pieces(url, messages, max_tokens) as pieces:
        for _ in range(num_pieces):
            if next(pieces, None) is None:
                return


@contextmanager
def _pieces(url: str, messages: Messages, max_tokens: int) -> Iterator[Iterator[str]]:
    body: dict[str, Any] = {
        "model": "claude-any",
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "messages": list(messages),
    }
    with httpx.stream("POST", f"{url}/v1/messages", json=body, timeout=REQUEST_SECONDS) as response:
        response.raise_for_status()
        yield _texts(response)


def _texts(response: httpx.Response) -> Iterator[str]:
    event: dict[str, Any] = {}
    for line in response.iter_lines():
        event = json.loads(line[6:]) if line.startswith("data: ") else event
        if line.startswith("data: ") and event["type"] == "content_block_delta":
            yield str(event["delta"].get("text", ""))
    assert event.get("type") == "message_stop", f"an answer broke off: its last event was {event.get('type')}"


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
