"""OpenAI's completions, streamed and not, as values that steps can compare."""

from __future__ import annotations

from typing import Any

from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import Stream

Json = dict[str, Any]
DONE = "[DONE]"


def chunks_of(stream: Stream) -> list[Json]:
    """The objects of a stream, without [DONE]."""
    expect_equal(stream.opening.status, 200, "the status")
    expect_that(stream.events, "a stream of events", stream.opening.body)
    return [event.json() for event in stream.events if event.data != DONE]


def choice_of(completion: Json) -> Json:
    choices = completion["choices"]
    expect_that(isinstance(choices, list) and len(choices) == 1, "one choice", completion)
    choice: Json = choices[0]
    return choice


def content_of(completion: Json) -> str:
    content = choice_of(completion)["message"].get("content")
    return content or ""


def calls_of_choice(completion: Json) -> list[Json]:
    calls: list[Json] = choice_of(completion)["message"].get("tool_calls") or []
    return calls


def answer_in(completion: Json) -> Json:
    """A completion's content, calls and finish reason, without ids."""
    choice = choice_of(completion)
    calls = [(call["function"]["name"], call["function"]["arguments"]) for call in calls_of_choice(completion)]
    return {"content": content_of(completion), "calls": calls, "finish_reason": choice["finish_reason"]}


def answer_in_chunks(chunks: list[Json]) -> Json:
    """The same for a stream's chunks, accumulated as the SDKs do: deltas are joined, calls by their index."""
    content, reason = "", None
    calls: dict[int, list[str]] = {}
    for choice in (chunk["choices"][0] for chunk in chunks if chunk["choices"]):
        delta = choice["delta"]
        content += delta.get("content") or ""
        reason = choice.get("finish_reason") or reason
        for piece in delta.get("tool_calls") or ():
            function = piece.get("function") or {}
            name_and_arguments = calls.setdefault(piece["index"], ["", ""])
            name_and_arguments[0] += function.get("name") or ""
            name_and_arguments[1] += function.get("arguments") or ""
    joined = [(name, arguments) for _, (name, arguments) in sorted(calls.items())]
    return {"content": content, "calls": joined, "finish_reason": reason}
