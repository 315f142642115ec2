"""The wire events of a streamed message (W10, W14, W15), and how they add up to a whole message (W11)."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

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
from contracts.values.vocabulary import MessageEvent
from pensieve.api.anthropic.tools.server_tools import ServerTool, server_call_id, server_tools
from pensieve.api.anthropic.wire.signature import signature_of
from pensieve.core.answers.growing_text import GrowingText

PING: MessageEvent = {"type": "ping"}


@dataclass(frozen=True, slots=True)
class Envelope:
    """Fields around the content: an id that was chosen before, and more for message_start and message_delta."""

    message_id: str = ""
    at_start: Mapping[str, object] = field(default_factory=dict)
    at_end: Mapping[str, object] = field(default_factory=dict)


class MessageEvents:
    """Converts generation events to wire events, and opens and closes content blocks between them.

    With `omits_thinking`, a thinking block has a signature but no text. A call of one of `failing_tools` is followed by
    its error.
    """

    def __init__(
        self,
        model_name: str,
        *,
        omits_thinking: bool = False,
        failing_tools: Collection[str] = (),
        envelope: Envelope = Envelope(),
    ) -> None:
        self._model_name = model_name
        self._omits_thinking = omits_thinking
        self._envelope = envelope
        self._index = -1
        self._open: str | None = None
        self._thinking = GrowingText()
        self._failing_tools = failing_tools
        self._failing_call: tuple[str, ServerTool] | None = None

    def convert(self, event: GenerationEvent) -> Iterator[MessageEvent]:
        match event:
            case GenerationStarted(input_tokens, cached_tokens):
                yield self._message_start(Usage(input_tokens, 0, cached_tokens))
            case TextGenerated(text):
                yield from self._in_block("text", {"type": "text", "text": ""})
                yield self._delta({"type": "text_delta", "text": text})
            case ThinkingGenerated(text):
                yield from self._in_block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
                self._thinking.add(text)
                if not self._omits_thinking:
                    yield self._delta({"type": "thinking_delta", "thinking": text})
            case ToolCallStarted(call_id, name):
                yield from self._close()
                yield from self._call(call_id, name)
            case ToolArgumentsGenerated(json):
                yield self._delta({"type": "input_json_delta", "partial_json": json})
            case ToolCallEnded():
                yield from self._close()
                yield from self._error_of_call()
            case GenerationFinished():
                yield from self._close()
                yield {**_message_delta(event), **self._envelope.at_end}
                yield {"type": "message_stop"}

    def _message_start(self, usage: Usage) -> MessageEvent:
        message = {
            "id": self._envelope.message_id or new_message_id(),
            "type": "message",
            "role": "assistant",
            "model": self._model_name,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(usage),
            **self._envelope.at_start,
        }
        return {"type": "message_start", "message": message}

    def _call(self, call_id: str, name: str) -> Iterator[MessageEvent]:
        kind = "tool_use"
        self._failing_call = None
        if name in self._failing_tools:
            kind, call_id = "server_tool_use", server_call_id(call_id)
            self._failing_call = call_id, server_tools()[name]
        yield from self._in_block(kind, {"type": kind, "id": call_id, "name": name, "input": {}})

    def _error_of_call(self) -> Iterator[MessageEvent]:
        if self._failing_call is not None:
            call_id, tool = self._failing_call
            yield from self._in_block(tool.result, tool.failed(call_id))
            yield from self._close()

    def _in_block(self, kind: str, block: dict[str, object]) -> Iterator[MessageEvent]:
        if self._open == kind:
            return
        yield from self._close()
        self._open = kind
        self._index += 1
        yield {"type": "content_block_start", "index": self._index, "content_block": block}

    def _close(self) -> Iterator[MessageEvent]:
        if self._open is None:
            return
        if self._open == "thinking":
            signature = signature_of(self._thinking.take(), holds_thinking=self._omits_thinking)
            yield self._delta({"type": "signature_delta", "signature": signature})
        self._open = None
        yield {"type": "content_block_stop", "index": self._index}

    def _delta(self, delta: dict[str, object]) -> MessageEvent:
        return {"type": "content_block_delta", "index": self._index, "delta": delta}


def new_message_id() -> str:
    return f"msg_{secrets.token_hex(12)}"


def _message_delta(finished: GenerationFinished) -> MessageEvent:
    return {
        "type": "message_delta",
        "delta": {"stop_reason": finished.stop_reason.value, "stop_sequence": finished.stop_sequence},
        "usage": {
            **_usage(finished.usage),
            "output_tokens_details": {"thinking_tokens": finished.usage.thinking_tokens},
        },
    }


def _usage(usage: Usage) -> dict[str, object]:
    """Input, cache creation and cache read tokens add up to the whole prompt (W17)."""
    written = usage.stored_5m_tokens + usage.stored_1h_tokens
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens - written,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.stored_5m_tokens,
            "ephemeral_1h_input_tokens": usage.stored_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "service_tier": "standard",
    }


async def collect_message(events: AsyncIterator[MessageEvent]) -> dict[str, Any]:
    """Fold the events of a stream into the message of a non-streaming answer (W11).

    Returns:
        The message, or the `error` event that ended the stream.
    """
    message: dict[str, Any] = {}
    added: defaultdict[str, GrowingText] = defaultdict(GrowingText)
    async for event in events:
        data: dict[str, Any] = event
        match data["type"]:
            case "message_start":
                message = data["message"]
            case "content_block_start":
                message["content"].append(dict(data["content_block"]))
            case "content_block_delta":
                name, text = _added(data["delta"])
                added[name].add(text)
            case "content_block_stop":
                message["content"][-1] |= {name: _value(name, str(text)) for name, text in added.items()}
                added.clear()
            case "message_delta":
                message |= data["delta"]
                message |= {name: data[name] for name in data.keys() - {"type", "delta", "usage"}}
                message["usage"] |= data["usage"]
            case "error":
                return data
    return message


def _added(delta: Mapping[str, str]) -> tuple[str, str]:
    """The block's field that a delta adds to, and the text."""
    name, text = next((name, text) for name, text in delta.items() if name != "type")
    return ("input" if name == "partial_json" else name), text


def _value(name: str, text: str) -> Any:
    """For the arguments of a call, parsed JSON. If they are incomplete, as much as can be parsed, as in the SDKs."""
    if name != "input":
        return text
    try:
        return pydantic_core.from_json(text or "{}")
    except ValueError:
        return pydantic_core.from_json(text, allow_partial=True)
