"""Whether an assistant turn that a client sends back is the answer that was generated here (C1)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from contracts.values.vocabulary import ChatMessage, ToolCall


@dataclass(frozen=True, slots=True)
class AnswerIdentity:
    """A turn reduced to what a client does not change."""

    text: str
    thinking: str
    calls: tuple[tuple[str, str, dict[str, Any]], ...]
    """Ids, names and arguments."""

    @classmethod
    def of(cls, message: ChatMessage) -> AnswerIdentity | None:
        """None if the turn is empty, or if a call's arguments are not valid JSON, for example because they were cut."""
        if not (message.text or message.thinking or message.tool_calls):
            return None
        try:
            calls = tuple((call.id, call.name, _arguments(call)) for call in message.tool_calls)
        except (ValueError, TypeError, RecursionError):
            return None
        return cls(_normalised_words(message.text), _normalised_words(message.thinking), calls)

    def as_json(self) -> str:
        return json.dumps([self.text, self.thinking, self.calls])

    @classmethod
    def from_json(cls, text: str) -> AnswerIdentity:
        words, thinking, calls = json.loads(text)
        return cls(words, thinking, tuple((call_id, name, arguments) for call_id, name, arguments in calls))

    def matches(self, generated: AnswerIdentity) -> bool:
        """Whether this turn is `generated`, apart from white space and empty arguments that the client added."""
        return (
            self.text == generated.text
            and self.thinking == generated.thinking
            and [call[:2] for call in self.calls] == [call[:2] for call in generated.calls]
            and all(_is_unchanged(ours[2], theirs[2]) for ours, theirs in zip(self.calls, generated.calls, strict=True))
        )


def _arguments(call: ToolCall) -> dict[str, Any]:
    arguments = json.loads(call.arguments)
    if not isinstance(arguments, dict):
        raise TypeError("arguments must be an object")
    return arguments


def _normalised_words(text: str) -> str:
    return " ".join(text.split())


def _is_unchanged(value: Any, generated: Any) -> bool:
    """Whether a value equals the generated one; objects may have more keys, with empty values such as false.

    Clients add those as the defaults of parameters. Any other addition changes what the call did.
    """
    match generated:
        case bool() | None:
            return value is generated
        case int() | float():
            return isinstance(value, int | float) and not isinstance(value, bool) and value == generated
        case str():
            return isinstance(value, str) and _without_trailing_space(value) == _without_trailing_space(generated)
        case dict():
            return (
                isinstance(value, dict)
                and all(key in value and _is_unchanged(value[key], part) for key, part in generated.items())
                and not any(part for key, part in value.items() if key not in generated)
            )
        case _:
            return (
                isinstance(value, list)
                and len(value) == len(generated)
                and all(_is_unchanged(one, other) for one, other in zip(value, generated, strict=True))
            )


def _without_trailing_space(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.split("\n")).rstrip()


def answer_key(message: ChatMessage, question: ChatMessage | None) -> str:
    """The key of a stored answer: a call's id is unique; a text is not, so it counts together with its question."""
    if message.tool_calls:
        return f"call {message.tool_calls[0].id}"
    context = _normalised_words(question.text) if question is not None else ""
    parts = [_normalised_words(message.thinking), _normalised_words(message.text), context]
    return "words " + hashlib.sha256(json.dumps(parts).encode()).hexdigest()
