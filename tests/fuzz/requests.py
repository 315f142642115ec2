"""A request for each number: from the SDKs' types, from recorded bodies, or with an HTTP head that is wrong."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import anthropic.types
import anthropic.types.beta
import openai.types
import openai.types.chat

from tests.fuzz.mutations import mutated, mutated_bytes
from tests.fuzz.values import TEXTS, value_of

# ruff: noqa: S311 - random numbers choose requests

MAX_TOKENS: Final = 2
TYPES: Final = (
    ("/v1/messages", anthropic.types.message_create_params.MessageCreateParamsNonStreaming),
    ("/v1/messages", anthropic.types.message_create_params.MessageCreateParamsStreaming),
    ("/v1/messages?beta=true", anthropic.types.beta.message_create_params.MessageCreateParamsNonStreaming),
    ("/v1/messages/count_tokens", anthropic.types.MessageCountTokensParams),
    ("/v1/chat/completions", openai.types.chat.completion_create_params.CompletionCreateParamsNonStreaming),
    ("/v1/chat/completions", openai.types.chat.completion_create_params.CompletionCreateParamsStreaming),
    ("/v1/completions", openai.types.completion_create_params.CompletionCreateParamsNonStreaming),
)
GETS: Final = ("/", "/api/hello", "/health", "/metrics", "/v1/models", "/v1/models/tiny", "/v1//models", "/v1/files")
HEADERS: Final = (
    ("accept", "text/html"),
    ("anthropic-beta", "x,,y"),
    ("anthropic-version", "1"),
    ("authorization", "Bearer"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", 'text/plain; charset="'),
    ("expect", "100-continue"),
    ("host", "localhost.."),
    ("if-none-match", "*"),
    ("origin", "http://localhost:1"),
    ("range", "bytes=5-"),
    ("transfer-encoding", "gzip, chunked"),
    ("upgrade", "websocket"),
    ("x-stainless-retry-count", "9" * 5000),
)
RECORDED: Final = Path(__file__).with_name("recorded.jsonl")
"""Bodies of the conformance suite, and of Claude Code's form."""


@dataclass(frozen=True, slots=True)
class Request:
    """`value` is the JSON that `body` was made from, if it was: a minimal form of it is looked for where it fails."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    value: Any = None

    def with_value(self, value: Any) -> Request:
        return replace(self, value=value, body=encoded(value))

    def as_bytes(self) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in self._all_headers())]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + self.body

    def _all_headers(self) -> list[tuple[str, str]]:
        names = {name for name, _ in self.headers}
        given = {
            "host": "localhost",
            "content-length": str(len(self.body)),
            "content-type": "application/json",
            "connection": "close",
        }
        return [*((name, value) for name, value in given.items() if name not in names), *self.headers]


@cache
def recorded() -> list[tuple[str, Any]]:
    """Pairs of path and body, each once."""
    lines = RECORDED.read_text(encoding="utf-8").splitlines()
    return [(record["path"], record["body"]) for record in map(json.loads, lines)]


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode("utf-8", "surrogatepass")


def request(number: int) -> Request:
    rng = random.Random(number)
    choice = rng.randrange(20)
    if choice < 8:
        return _from_types(rng)
    if choice < 16:
        return _from_recorded(rng)
    return _get(rng) if choice == 16 else _wrong_head(rng)


def _from_types(rng: random.Random) -> Request:
    path, kind = rng.choice(TYPES)
    return _post(path, _cheap(value_of(kind, rng)), rng)


def _from_recorded(rng: random.Random) -> Request:
    path, value = rng.choice(recorded())
    return _post(path, mutated(_cheap(value), rng), rng)


def _post(path: str, value: Any, rng: random.Random) -> Request:
    sent = Request("POST", path, (), encoded(value), value)
    match rng.randrange(12):
        case 0:
            return replace(sent, body=mutated_bytes(sent.body, rng), value=None)
        case 1:
            return replace(sent, body=_packed(sent.body, rng), headers=(("content-encoding", "gzip"),), value=None)
        case _:
            return sent


def _cheap(value: Any) -> Any:
    """The same with few tokens to generate, and a model that is there."""
    if isinstance(value, dict):
        value = {**value, "model": "tiny"}
        for name in ("max_tokens", "max_completion_tokens"):
            if isinstance(value.get(name), int) and value[name] > MAX_TOKENS:
                value[name] = MAX_TOKENS
        value.setdefault("max_tokens", MAX_TOKENS)
    return value


def _packed(data: bytes, rng: random.Random) -> bytes:
    packed = gzip.compress(data, 1)
    return mutated_bytes(packed, rng) if rng.random() < 0.5 else packed


def _get(rng: random.Random) -> Request:
    path = rng.choice(GETS)
    if rng.random() < 0.7:
        name = rng.choice(("limit", "before_id", "after_id", "beta", "x"))
        text = rng.choice((*TEXTS, "9" * 5000, "-1", "1e9", "0x10"))
        path += f"?{name}={quote(text.encode('utf-8', 'surrogatepass'))}"
    return Request(rng.choice(("GET", "GET", "HEAD", "OPTIONS", "PUT", "DELETE")), path, (), b"")


def _wrong_head(rng: random.Random) -> Request:
    path, value = rng.choice(recorded())
    headers = tuple(rng.sample(HEADERS, rng.choice((1, 1, 2, 3))))
    return Request(rng.choice(("POST", "POST", "GET", "PATCH", "CONNECT")), path, headers, encoded(_cheap(value)))
