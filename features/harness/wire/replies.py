"""A server's answers as values that steps can compare."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from features.harness.wire.expectations import JsonObject, expect_that, read_json, shown
from features.harness.wire.sse import ServerSentEvent

INPUT_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        try:
            value = read_json(self.body)
        except ValueError:
            raise AssertionError(f"expected a JSON body\n  actual {shown(self.body)}") from None
        expect_that(isinstance(value, dict), "the body to be a JSON object", value)
        body: dict[str, Any] = value
        return body

    def message(self) -> dict[str, Any]:
        """The message of a successful request."""
        expect_that(self.status == 200, "the status to be 200", f"{self.status} {shown(self.body)}")
        return self.json()


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that has ended. Times are readings of the monotonic clock, in seconds.

    `broken_by` is the error if the connection did not close cleanly.
    """

    opening: HttpReply
    events: tuple[ServerSentEvent, ...]
    sent_at: float
    opened_at: float
    ended_at: float
    broken_by: str | None

    def objects(self) -> list[dict[str, Any]]:
        expect_that(self.opening.status == 200, "the status to be 200", f"{self.opening.status} {self.opening.body!r}")
        expect_that(self.events, "a stream of events", shown(self.opening.body))
        return [event.json() for event in self.events]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.objects() if event.get("type") == kind]

    def message(self) -> dict[str, Any]:
        """The message that the SDKs accumulate from the events."""
        starts, deltas = self.of_type("message_start"), self.of_type("message_delta")
        expect_that(len(starts) == 1 and deltas, "one message_start and a message_delta", self.kinds())
        message = dict(starts[0]["message"])
        for event in deltas:
            message |= event["delta"]
            final = {name: count for name, count in event["usage"].items() if count is not None}
            message["usage"] = {**message["usage"], **final}
        message["content"] = _added_up(self.objects())
        return message

    def text(self) -> str:
        return "".join(text_deltas(self.objects()))

    def kinds(self) -> list[Any]:
        return [event.get("type") for event in self.objects()]


def text_deltas(events: list[dict[str, Any]]) -> Iterator[str]:
    for event in events:
        if event.get("type") == "content_block_delta" and event["delta"].get("type") == "text_delta":
            yield event["delta"]["text"]


def text_of(message: Mapping[str, Any]) -> str:
    """All text of a message's content; empty if it has no text block."""
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def blocks_of(message: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    return [block for block in message["content"] if block["type"] == kind]


def thinking_of(message: Mapping[str, Any]) -> str:
    return "".join(block["thinking"] for block in blocks_of(message, "thinking"))


def calls_of(message: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Each call's tool and input, without ids, which differ between answers."""
    return [(block["name"], block["input"]) for block in blocks_of(message, "tool_use")]


def prompt_tokens(usage: Mapping[str, Any]) -> int:
    """The whole prompt, including the tokens that a cache read or wrote."""
    return sum(usage.get(name) or 0 for name in INPUT_COUNTS)


_FIELD_OF_DELTA = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def _added_up(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The content that blocks and deltas add up to. An input whose JSON is cut off stays empty."""
    blocks: dict[object, dict[str, Any]] = {}
    inputs: dict[object, str] = {}
    for event in events:
        if event.get("type") == "content_block_start":
            blocks[event["index"]] = JsonObject(event["content_block"])
        elif event.get("type") == "content_block_delta":
            index, delta = event["index"], event["delta"]
            expect_that(index in blocks, "a delta of a block that has started", event)
            if delta["type"] == "input_json_delta":
                inputs[index] = inputs.get(index, "") + delta["partial_json"]
            elif field := _FIELD_OF_DELTA.get(delta["type"]):
                blocks[index][field] = blocks[index].get(field, "") + delta[field]
    for index, text in inputs.items():
        with contextlib.suppress(ValueError):
            blocks[index]["input"] = read_json(text or "{}")
    return list(blocks.values())
