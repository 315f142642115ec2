"""The chunks of any generation follow the grammar of a stream, and add up to the non-streaming answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

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
from contracts.values.vocabulary import StopReason
from pensieve.api.openai.events import ChatChunks, CompletionChunks, collect_chat, collect_completion

TEXT = st.text(min_size=1, max_size=5)
CALL = st.builds(
    lambda name, pieces: [ToolCallStarted(f"id-{name}", name), *map(ToolArgumentsGenerated, pieces), ToolCallEnded()],
    TEXT,
    st.lists(TEXT, max_size=3),
)
PART = st.one_of(
    TEXT.map(lambda text: [TextGenerated(text, 1)]), TEXT.map(lambda text: [ThinkingGenerated(text, 1)]), CALL
)
REASON = st.sampled_from([StopReason.END_TURN, StopReason.MAX_TOKENS, StopReason.TOOL_USE])
GENERATION = st.builds(
    lambda parts, reason: [
        GenerationStarted(3),
        *(event for part in parts for event in part),
        GenerationFinished(reason, Usage(3, 2)),
    ],
    st.lists(PART, max_size=6),
    REASON,
)


def folded(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that a client assembles from chunks. Checks their grammar on the way."""
    message: dict[str, Any] = {"content": "", "reasoning_content": "", "calls": []}
    first, *deltas, last = [chunk["choices"][0] for chunk in chunks]
    assert first["delta"] == {"role": "assistant", "content": ""}
    assert last["delta"] == {}
    for choice in deltas:
        assert choice["finish_reason"] is None
        (key, value), *more = choice["delta"].items()
        assert not more
        if key == "tool_calls":
            fold_call(message["calls"], *value)
        else:
            assert value
            message[key] += value
    return {**message, "finish_reason": last["finish_reason"]}


def fold_call(calls: list[list[str]], piece: dict[str, Any]) -> None:
    if "id" in piece:
        assert piece["type"] == "function"
        assert piece["index"] == len(calls)
        calls.append([piece["id"], piece["function"]["name"], ""])
    else:
        assert piece["index"] == len(calls) - 1
        assert set(piece["function"]) == {"arguments"}
    calls[-1][2] += piece["function"]["arguments"]


async def replayed(events: list[GenerationEvent]) -> AsyncIterator[GenerationEvent]:
    for event in events:
        yield event


@given(GENERATION)
def test_a_chat_answer_equals_its_assembled_chunks(events: list[GenerationEvent]) -> None:
    encoder = ChatChunks("m", include_usage=True)
    *chunks, usage = [chunk for event in events for chunk in encoder.convert(event)]
    whole = asyncio.run(collect_chat(replayed(events), "m"))
    (choice,) = whole["choices"]
    message = choice["message"]
    assert folded(chunks) == {
        "content": message["content"] or "",
        "reasoning_content": message.get("reasoning_content", ""),
        "calls": [
            [call["id"], call["function"]["name"], call["function"]["arguments"]]
            for call in message.get("tool_calls", [])
        ],
        "finish_reason": choice["finish_reason"],
    }
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    assert all(chunk["usage"] is None for chunk in chunks)
    assert {(chunk["id"], chunk["object"]) for chunk in [*chunks, usage]} == {(usage["id"], "chat.completion.chunk")}


@given(GENERATION)
def test_a_completion_equals_its_assembled_chunks(events: list[GenerationEvent]) -> None:
    encoder = CompletionChunks("m", include_usage=False)
    choices = [chunk["choices"][0] for event in events for chunk in encoder.convert(event)]
    (whole,) = asyncio.run(collect_completion(replayed(events), "m"))["choices"]
    assert "".join(choice["text"] for choice in choices) == whole["text"]
    assert [choice["finish_reason"] for choice in choices][-1] == whole["finish_reason"]
