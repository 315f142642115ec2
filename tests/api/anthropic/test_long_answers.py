"""What collects an answer never copies what came before: a long one would take quadratic time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from contracts.values.generation import (
    GenerationEvent,
    GenerationFinished,
    GenerationStarted,
    TextGenerated,
    ThinkingGenerated,
    ToolArgumentsGenerated,
    ToolCallEnded,
    ToolCallStarted,
    Usage,
)
from contracts.values.vocabulary import ChatMessage, GenerationRequest, MessageEvent, Role, StopReason
from pensieve.api.anthropic.events import MessageEvents, collect_message
from pensieve.api.anthropic.tools.failing_calls import with_failing_calls
from pensieve.api.openai.events import collect_chat, collect_completion

Events = AsyncGenerator[GenerationEvent, None]


class Piece(str):
    """Fails where it is appended to a text."""

    __slots__ = ()

    def __radd__(self, other: str) -> str:
        raise AssertionError(f"all {len(other)} characters before {self!r} are copied")


async def generated() -> Events:
    usage = Usage(1, 9)
    yield GenerationStarted(1)
    for number, piece in enumerate(("Let ", "me ", "see.")):
        yield ThinkingGenerated(Piece(piece), number)
    for number, piece in enumerate(("Here ", "it ", "is.")):
        yield TextGenerated(Piece(piece), number)
    yield ToolCallStarted("call_1", "look")
    for piece in ('{"at"', ': "all', ' of it"}'):
        yield ToolArgumentsGenerated(Piece(piece))
    yield ToolCallEnded()
    yield GenerationFinished(StopReason.TOOL_USE, usage)


async def whole_message(events: Events) -> Any:
    convert = MessageEvents("model").convert

    async def converted() -> AsyncGenerator[MessageEvent, None]:
        async for event in events:
            for each in convert(event):
                yield each

    return [block for block in (await collect_message(converted()))["content"] if block.pop("signature", True)]


async def whole_chat(events: Events) -> Any:
    message = (await collect_chat(events, "model"))["choices"][0]["message"]
    return [message["content"], message["reasoning_content"], message["tool_calls"][0]["function"]["arguments"]]


async def whole_completion(events: Events) -> Any:
    return (await collect_completion(events, "model"))["choices"][0]["text"]


async def after_failing_calls(events: Events) -> Any:
    request = GenerationRequest((ChatMessage(Role.USER, "Hi"),), 100)
    async with aclosing(with_failing_calls(lambda _: events, request)) as all_events:
        return [event async for event in all_events][-1].stop_reason  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("collect", "expected"),
    [
        (
            whole_message,
            [
                {"type": "thinking", "thinking": "Let me see."},
                {"type": "text", "text": "Here it is."},
                {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": "all of it"}},
            ],
        ),
        (whole_chat, ["Here it is.", "Let me see.", '{"at": "all of it"}']),
        (whole_completion, "Here it is."),
        (after_failing_calls, StopReason.TOOL_USE),
    ],
)
def test_the_pieces_of_an_answer_add_up_without_copies(
    collect: Callable[[Events], Awaitable[Any]], expected: object
) -> None:
    async def collected() -> Any:
        return await collect(generated())

    assert asyncio.run(collected()) == expected
