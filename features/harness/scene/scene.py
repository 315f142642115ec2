"""The state that the steps of one scenario share."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from features.harness.wire.client import Client
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import HttpReply, Stream, calls_of, prompt_tokens, text_of, thinking_of

Json = dict[str, Any]


@dataclass(slots=True)
class Scene:
    """A client, its requests and their answers. Reading a field that no earlier step has set raises AttributeError."""

    client: Client = field(init=False)
    body: Json = field(init=False)
    other_body: Json = field(init=False)
    bodies: list[Json] = field(init=False)
    reply: HttpReply = field(init=False)
    other_reply: HttpReply = field(init=False)
    replies_in_turn: list[HttpReply] = field(init=False)
    replies_at_once: list[HttpReply] = field(init=False)
    count: HttpReply = field(init=False)
    other_count: HttpReply = field(init=False)
    stream: Stream = field(init=False)
    last: HttpReply = field(init=False)
    """The latest answer to any request: steps about refusals and headers read it."""

    message: Json = field(init=False)
    """The message that the scenario is about, whether it was streamed or not."""

    stop: str = field(init=False)
    active_before: int = field(init=False)
    reply_seconds: float = field(init=False)
    waited: bool = field(init=False)
    """Whether a request was only answered once another had ended."""
    openings: list[str] = field(init=False)
    """The status lines on connections of their own, or what came instead."""
    sdk_message: Any = field(init=False)
    sdk_other_message: Any = field(init=False)
    sdk_result: Any = field(init=False)
    sdk_error: Exception | None = field(init=False)

    def take_reply(self, reply: HttpReply) -> HttpReply:
        self.reply = self.last = reply
        return reply

    def take_stream(self, stream: Stream) -> Stream:
        self.stream, self.last = stream, stream.opening
        return stream


def plain_request(model: str, text: str = "Say hello to the world.") -> Json:
    """Small, so that a slow machine answers quickly; greedy, so that answers can be compared."""
    return {
        "model": model,
        "max_tokens": 8,
        "temperature": 0,
        "messages": [{"role": "user", "content": text}],
    }


def with_field(body: Json, path: str, literal: str) -> Json:
    """A copy of the body in which the field at a dotted path has the value of a JSON literal."""
    changed = copy.deepcopy(body)
    *parents, last = path.split(".")
    place: Any = changed
    for step in parents:
        place = place[int(step) if isinstance(place, list) else step]
    place[int(last) if isinstance(place, list) else last] = json.loads(literal)
    return changed


def without_field(body: Json, path: str) -> Json:
    """A copy of the body without the field at a dotted path."""
    changed = copy.deepcopy(body)
    *parents, last = path.split(".")
    place: Any = changed
    for step in parents:
        place = place[int(step) if isinstance(place, list) else step]
    del place[last]
    return changed


_PROMPT_FIELDS = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "context_management"}
)


def count_request(body: Json) -> Json:
    """The fields of a request that the token count accepts: those that affect the prompt."""
    return {name: value for name, value in body.items() if name in _PROMPT_FIELDS}


def expect_same_answer(one: Json, other: Json) -> None:
    """Fail unless two messages are the same answer, ids and the source of the prompt's tokens aside."""
    aspects: dict[str, Callable[[Json], object]] = {
        "text": text_of,
        "thinking": thinking_of,
        "calls": calls_of,
        "stop_reason": lambda message: message["stop_reason"],
        "stop_sequence": lambda message: message["stop_sequence"],
        "prompt's tokens": lambda message: prompt_tokens(message["usage"]),
        "output_tokens": lambda message: message["usage"]["output_tokens"],
    }
    for what, aspect in aspects.items():
        expect_equal(aspect(other), aspect(one), f"the same {what}")


def middle_of(text: str) -> str:
    """A few characters from the middle, cut so that they are unlikely to be one token."""
    half = len(text) // 2
    middle = text[max(half - 2, 0) : half + 3].strip()
    expect_that(len(text) >= 8 and middle, "an answer of at least eight characters, to take a stop sequence from", text)
    return middle
