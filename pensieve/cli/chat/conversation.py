"""A conversation with a model, and the stream of its next answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from pensieve.cli.servers.http_client import ServerClient
from pensieve.cli.sizes import format_duration

DEFAULT_MAX_TOKENS: Final = 4096
FULL_WINDOW: Final = "model_context_window_exceeded"
_MESSAGES: Final = "/v1/messages"
_DELTAS: Final = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}

Show = Callable[[str, str], None]
"""Prints a part of an answer; the first argument is "text" or "thinking"."""


@dataclass(slots=True)
class Answer:
    """What has arrived of an answer, as the blocks that the next request sends back."""

    blocks: list[dict[str, Any]] = field(default_factory=list)
    stop_reason: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    first_token_seconds: float | None = None
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return "".join(block["text"] for block in self.blocks if block["type"] == "text")

    def figures(self) -> str:
        """One line about tokens and time."""
        cached = self.usage.get("cache_read_input_tokens", 0)
        read = self.usage.get("input_tokens", 0) + self.usage.get("cache_creation_input_tokens", 0) + cached
        written, first = self.usage.get("output_tokens", 0), self.first_token_seconds or self.seconds
        speed = (
            f", {(written - 1) / (self.seconds - first):.1f} tokens/s" if written > 1 and self.seconds > first else ""
        )
        return (
            f"{read} prompt tokens ({cached} cached), first token after {format_duration(first)}, "
            f"{written} tokens{speed}"
        )


@dataclass(slots=True)
class Conversation:
    """`options` are further fields of each request, such as `temperature`."""

    client: ServerClient
    model: str
    system: str | None = None
    max_tokens: int = DEFAULT_MAX_TOKENS
    options: dict[str, Any] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def ask(self, text: str, show: Show) -> Answer:
        """Send a message, and show the answer as it arrives.

        Raises:
            RequestError: it is refused or breaks off. The conversation is as before.
            KeyboardInterrupt: the user stopped it. What has arrived is part of the conversation.
        """
        answer, begun = Answer(), time.monotonic()
        self.messages.append({"role": "user", "content": text})
        try:
            with closing(self.client.events(_MESSAGES, self._body())) as events:
                self._receive(answer, events, show, begun)
        except BaseException as error:
            if not isinstance(error, KeyboardInterrupt) or not answer.text:
                self.messages.pop()
            else:
                self.messages.append({"role": "assistant", "content": answer.text})
            raise
        if answer.blocks:
            self.messages.append({"role": "assistant", "content": answer.blocks})
        else:
            self.messages.pop()
        return answer

    def cut_off(self, answer: Answer) -> str | None:
        """How the answer was cut off, if it was."""
        if answer.stop_reason == "max_tokens":
            return f"cut off at --max-tokens {self.max_tokens}"
        return "cut off, since the model's window is full" if answer.stop_reason == FULL_WINDOW else None

    def forget_last(self) -> str | None:
        """Take back the last question and its answer, and return the question."""
        if not self.messages:
            return None
        del self.messages[-1:]
        question = self.messages.pop()
        return str(question["content"])

    def _body(self) -> dict[str, Any]:
        system = {"system": self.system} if self.system else {}
        return {
            "model": self.model,
            "max_tokens": self.max_tokens,
            "stream": True,
            "messages": self.messages,
            **system,
            **self.options,
        }

    def _receive(self, answer: Answer, events: Iterator[dict[str, Any]], show: Show, begun: float) -> None:
        for event in events:
            match event["type"]:
                case "message_start":
                    answer.usage |= _counts(event["message"]["usage"])
                case "content_block_start":
                    answer.blocks.append(dict(event["content_block"]))
                case "content_block_delta":
                    if answer.first_token_seconds is None:
                        answer.first_token_seconds = time.monotonic() - begun
                    _add(answer.blocks[-1], event["delta"], show)
                case "message_delta":
                    answer.stop_reason = event["delta"]["stop_reason"]
                    answer.usage |= _counts(event["usage"])
        answer.seconds = time.monotonic() - begun


def _add(block: dict[str, Any], delta: dict[str, Any], show: Show) -> None:
    name = _DELTAS.get(delta["type"])
    if name is None:
        return
    block[name] = block.get(name, "") + delta[name]
    if name != "signature":
        show(name, delta[name])


def _counts(usage: dict[str, Any]) -> dict[str, int]:
    return {name: value for name, value in usage.items() if isinstance(value, int)}
