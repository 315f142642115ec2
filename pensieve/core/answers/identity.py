"""Whether an assistant's turn that came back is still the answer that was generated (C1)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from contracts.values.vocabulary import ChatMessage, ToolCall


@dataclass(frozen=True, slots=True)
class AnswerIdentity:
    """A turn without what may change on its way through a client."""

    text: str
    thinking: str
    calls: tuple[tuple[str, str, dict[str, Any]], ...]
    """Ids, names and arguments."""

    @classmethod
    def of(cls, message: ChatMessage) -> AnswerIdentity | None:
        """None where there is nothing to know it by, or its arguments are no JSON, as where they were cut."""
        if not (message.text or message.thinking or message.tool_calls):
            return None
        try:
            calls = tuple((call.id, call.name, _arguments(call)) for call in message.tool_calls)
        except (ValueError, TypeError, RecursionError):
            return None
        return cls(_words(message.text), _words(message.thinking), calls)

    def as_json(self) -> str:
        return json.dumps([self.text, self.thinking, self.calls])

    @classmethod
    def from_json(cls, text: str) -> AnswerIdentity:
        words, thinking, calls = json.loads(text)
        return cls(words, thinking, tuple((call_id, name, arguments) for call_id, name, arguments in calls))

    def matches(self, generated: AnswerIdentity) -> bool:
        return (
            self.text == generated.text
            and self.thinking == generated.thinking
            and [call[:2] for call in self.calls] == [call[:2] for call in generated.calls]
            and all(_holds(ours[2], theirs[2]) for ours, theirs in zip(self.calls, generated.calls, strict=True))
        )


def _arguments(call: ToolCall) -> dict[str, Any]:
    arguments = json.loads(call.arguments)
    if not isinstance(arguments, dict):
        raise TypeError("arguments are an object")
    return arguments


def _words(text: str) -> str:
    return " ".join(text.split())


def _holds(value: Any, generated: Any) -> bool:
    """Whether a value is what was generated, with further keys at most."""
    match generated:
        case bool() | None:
            return value is generated
        case int() | float():
            return isinstance(value, int | float) and not isinstance(value, bool) and value == generated
        case str():
            return isinstance(value, str) and _line_ends_bare(value) == _line_ends_bare(generated)
        case dict():
            return isinstance(value, dict) and all(
                key in value and _holds(value[key], part) for key, part in generated.items()
            )
        case _:
            return (
                isinstance(value, list)
                and len(value) == len(generated)
                and all(_holds(one, other) for one, other in zip(value, generated, strict=True))
            )


def _line_ends_bare(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip()


def answer_key(message: ChatMessage, asked: ChatMessage | None) -> str:
    """A call's id is found nowhere else. Words may be: the same ones said to something else are another answer."""
    if message.tool_calls:
        return f"call {message.tool_calls[0].id}"
    parts = [_words(message.thinking), _words(message.text), _words(asked.text) if asked is not None else ""]
    return "words " + hashlib.sha256(json.dumps(parts).encode()).hexdigest()
