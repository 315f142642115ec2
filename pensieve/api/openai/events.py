"""Generation events as objects of OpenAI's API (W6): the chunks of a stream, and whole answers."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

from contracts.values.generation import (
    GenerationEvent,
    GenerationFinished,
    GenerationStarted,
    TextGenerated,
    ThinkingGenerated,
    ToolArgumentsGenerated,
    ToolCallStarted,
    Usage,
)
from contracts.values.vocabulary import StopReason, ToolCall
from pensieve.core.answers.whole_answer import WholeAnswer

_FINISH_REASONS = {
    StopReason.END_TURN: "stop",
    StopReason.STOP_SEQUENCE: "stop",
    StopReason.MAX_TOKENS: "length",
    StopReason.WINDOW_FULL: "length",
    StopReason.TOOL_USE: "tool_calls",
}


class ChatChunks:
    """Converts generation events to `chat.completion.chunk` objects."""

    def __init__(self, model_name: str, *, include_usage: bool) -> None:
        self._common = _common("chatcmpl", "chat.completion.chunk", model_name)
        self._include_usage = include_usage
        self._num_calls = 0

    def convert(self, event: GenerationEvent) -> Iterator[dict[str, Any]]:
        match event:
            case GenerationStarted():
                yield self._chunk({"role": "assistant", "content": ""})
            case TextGenerated(text):
                yield self._chunk({"content": text})
            case ThinkingGenerated(text):
                yield self._chunk({"reasoning_content": text})
            case ToolCallStarted(call_id, name):
                self._num_calls += 1
                function = {"name": name, "arguments": ""}
                yield self._call_chunk({"id": call_id, "type": "function", "function": function})
            case ToolArgumentsGenerated(json):
                yield self._call_chunk({"function": {"arguments": json}})
            case GenerationFinished(stop_reason, usage):
                yield self._chunk({}, _FINISH_REASONS[stop_reason])
                if self._include_usage:
                    yield {**self._common, "choices": [], "usage": usage_of(usage)}

    def _chunk(self, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**self._common, "choices": [choice], **({"usage": None} if self._include_usage else {})}

    def _call_chunk(self, call: dict[str, Any]) -> dict[str, Any]:
        return self._chunk({"tool_calls": [{"index": self._num_calls - 1, **call}]})


class CompletionChunks:
    """Converts generation events to the `text_completion` objects of a stream."""

    def __init__(self, model_name: str, *, include_usage: bool) -> None:
        self._common = _common("cmpl", "text_completion", model_name)
        self._include_usage = include_usage

    def convert(self, event: GenerationEvent) -> Iterator[dict[str, Any]]:
        match event:
            case GenerationStarted():
                yield self._chunk("")
            case TextGenerated(text):
                yield self._chunk(text)
            case GenerationFinished(stop_reason, usage):
                yield self._chunk("", _FINISH_REASONS[stop_reason])
                if self._include_usage:
                    yield {**self._common, "choices": [], "usage": usage_of(usage)}

    def _chunk(self, text: str, finish_reason: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": finish_reason}
        return {**self._common, "choices": [choice], **({"usage": None} if self._include_usage else {})}


async def collect_chat(events: AsyncIterator[GenerationEvent], model_name: str) -> dict[str, Any]:
    """The `chat.completion` object of a whole generation."""
    answer, finished = await _collected(events)
    content = answer.text or (None if answer.calls else "")
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    if answer.calls:
        message["tool_calls"] = [_call(call) for call in answer.calls]
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    choice = {"message": message, "logprobs": None}
    return _whole(_common("chatcmpl", "chat.completion", model_name), choice, finished)


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


async def collect_completion(events: AsyncIterator[GenerationEvent], model_name: str) -> dict[str, Any]:
    """The `text_completion` object of a whole generation."""
    answer, finished = await _collected(events)
    return _whole(_common("cmpl", "text_completion", model_name), {"text": answer.text, "logprobs": None}, finished)


async def _collected(events: AsyncIterator[GenerationEvent]) -> tuple[WholeAnswer, GenerationFinished]:
    answer = WholeAnswer()
    async for event in events:
        answer.add(event)
        if isinstance(event, GenerationFinished):
            finished = event
    return answer, finished


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.thinking_tokens},
    }


def _common(prefix: str, kind: str, model_name: str) -> dict[str, Any]:
    return {
        "id": f"{prefix}-{secrets.token_hex(12)}",
        "object": kind,
        "created": int(time.time()),
        "model": model_name,
        "system_fingerprint": None,
    }


def _whole(common: dict[str, Any], choice: dict[str, Any], finished: GenerationFinished) -> dict[str, Any]:
    choice = {"index": 0, **choice, "finish_reason": _FINISH_REASONS[finished.stop_reason]}
    return {**common, "choices": [choice], "usage": usage_of(finished.usage)}
