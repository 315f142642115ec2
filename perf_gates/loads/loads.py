"""The workloads of `perf_gates.compare`, timed from the client's side on any server with OpenAI's chat API."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from perf_gates.measuring.measures import CLIENT, LINE

FILE: Final = """import json


def load_settings(path):
    with open(path) as file:
        settings = json.load(file)
    settings.setdefault("port", 8080)
    settings.setdefault("host", "localhost")
    settings.setdefault("timeout", 30)
    return settings


def save_settings(path, settings):
    with open(path, "w") as file:
        json.dump(settings, file, indent=2)


def describe(settings):
    host = settings["host"]
    port = settings["port"]
    return f"http://{host}:{port}"
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A server to compare. `model` is the model name that it expects in requests."""

    name: str
    url: str
    model: str


@dataclass(frozen=True, slots=True)
class TimedCompletion:
    text: str
    first_token_seconds: float
    seconds: float
    output_tokens: int

    @property
    def tokens_per_second(self) -> float:
        """Decoding speed from the first token to the last, without the prompt."""
        return (self.output_tokens - 1) / (self.seconds - self.first_token_seconds)


@dataclass(frozen=True, slots=True)
class Workload:
    """One row of the comparison.

    `measure` takes a target and the round's number, which goes into the prompts so that no prompt cache has them.
    """

    title: str
    unit: str
    more_is_better: bool
    measure: Callable[[Target, int], float]
    min_ratio: float | None = None
    """The ratio that ours must reach, or None if it only must not be worse."""

    def ratio(self, ours: float, theirs: float) -> float:
        """Above 1 if ours is better, for times as well as for speeds."""
        return ours / theirs if self.more_is_better else theirs / ours


def ask(target: Target, messages: Sequence[dict[str, str]], max_tokens: int) -> TimedCompletion:
    """Stream one chat completion at temperature 0.

    Raises:
        httpx.HTTPError: the server refused the request or did not answer.
    """
    body: dict[str, Any] = {
        "model": target.model,
        "messages": list(messages),
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    began, first, text, output_tokens = time.perf_counter(), None, "", 0
    with CLIENT.stream("POST", f"{target.url}/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            chunk = json.loads(line[6:]) if line.startswith("data: {") else {}
            piece = _text_of(chunk)
            if piece and first is None:
                first = time.perf_counter() - began
            text += piece
            output_tokens = (chunk.get("usage") or {}).get("completion_tokens", output_tokens)
    seconds = time.perf_counter() - began
    return TimedCompletion(text, seconds if first is None else first, seconds, output_tokens)


def _text_of(chunk: dict[str, Any]) -> str:
    choices = chunk.get("choices") or [{}]
    return str((choices[0].get("delta") or {}).get("content") or "")


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def cold_short(target: Target, number: int) -> float:
    return 1000 * ask(target, user(f"{number}: what is the capital of France?"), 2).first_token_seconds


def cold_long(target: Target, number: int) -> float:
    return 1000 * ask(target, user(f"Log {number}. {LINE * 25}Which ship was it?"), 2).first_token_seconds


def warm_long(target: Target, number: int) -> float:
    """The text of `cold_long`, which the server has just prefilled, with another question after it."""
    return 1000 * ask(target, user(f"Log {number}. {LINE * 25}And what then?"), 2).first_token_seconds


def together(num_clients: int, max_tokens: int) -> Callable[[Target, int], float]:
    """Tokens/s of all clients together, from the first request to the last token, prefill included."""

    def measure(target: Target, number: int) -> float:
        prompts = [
            user(f"Write a long story, number {number}-{client}, about a keeper and the sea.")
            for client in range(num_clients)
        ]
        began = time.perf_counter()
        answers = _at_once(target, prompts, max_tokens)
        return sum(answer.output_tokens for answer in answers) / (time.perf_counter() - began)

    return measure


def conversation(target: Target, number: int) -> float:
    """Seconds for a conversation of ten turns."""
    messages = user(f"Conversation {number}. Tell me about the sea.")
    began = time.perf_counter()
    for turn in range(10):
        answer = ask(target, messages, 16)
        messages += [
            {"role": "assistant", "content": answer.text},
            *user(f"And what comes after that, in year {turn}?"),
        ]
    return time.perf_counter() - began


def editing(target: Target, number: int) -> float:
    """Decoding speed while the model repeats a file with one change."""
    prompt = f"Rewrite this file with port {9000 + number} in place of 8080. Answer with the whole file.\n\n{FILE}"
    return ask(target, user(prompt), 220).tokens_per_second


def common_prefix(num_lines: int) -> Callable[[Target, int], float]:
    """Seconds until four simultaneous clients have their first token. Their prompts share a text of `num_lines` lines.

    The answers are long enough that no request ends, and leaves its prompt in the cache, before the others begin. A
    server that prefills the first prompt in one step, as mlx-lm's does up to 2,048 tokens, has it cached for the others
    without any sharing between concurrent requests.
    """

    def measure(target: Target, number: int) -> float:
        prompts = [user(f"Report {number}. {LINE * num_lines}Question {client}?") for client in "ABCD"]
        return max(answer.first_token_seconds for answer in _at_once(target, prompts, 24))

    return measure


def _at_once(target: Target, prompts: Sequence[Sequence[dict[str, str]]], max_tokens: int) -> list[TimedCompletion]:
    with ThreadPoolExecutor(len(prompts)) as clients:
        return list(clients.map(lambda prompt: ask(target, prompt, max_tokens), prompts))


WORKLOADS: Final = (
    Workload("first token, short prompt, cold", "ms", more_is_better=False, measure=cold_short),
    Workload("first token, 500 tokens, cold", "ms", more_is_better=False, measure=cold_long),
    Workload("first token, 500 tokens, warm", "ms", more_is_better=False, measure=warm_long),
    Workload("1 client", "tokens/s", more_is_better=True, measure=together(1, 64)),
    Workload("4 clients", "tokens/s", more_is_better=True, measure=together(4, 48)),
    Workload("8 clients", "tokens/s", more_is_better=True, measure=together(8, 48)),
    Workload("16 clients", "tokens/s", more_is_better=True, measure=together(16, 32)),
    Workload("a conversation of ten turns", "s", more_is_better=False, measure=conversation),
    Workload("a file rewritten with one change", "tokens/s", more_is_better=True, measure=editing, min_ratio=1.5),
    Workload(
        "4 clients, one prefix of 800 tokens, all first tokens",
        "s",
        more_is_better=False,
        measure=common_prefix(40),
    ),
    Workload(
        "4 clients, one prefix of 2,700 tokens, all first tokens",
        "s",
        more_is_better=False,
        measure=common_prefix(140),
        min_ratio=2,
    ),
)
