"""OpenAI chat messages as the turns that a chat template renders (W6)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pydantic_core

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.api.anthropic.content.placeholders import refused, replaced
from pensieve.api.anthropic.content.reading import BLOCK_SEPARATOR
from pensieve.api.anthropic.wire.expansion import Expansion
from pensieve.api.http.body_values import require_few_values
from pensieve.api.openai.messages import ChatTurn
from pensieve.api.openai.parts import PartReader
from pensieve.core.errors import ValidationError, listed

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
}


def turns_of(messages: Sequence[ChatTurn]) -> tuple[ChatMessage, ...]:
    """The turns of all messages, in order. A final assistant message is continued, as in the Messages API.

    Raises:
        ValidationError: a user message is empty, the newest one has a part that cannot be read, arguments are neither
            text nor an object, or a call and its result do not match.
    """
    numbers = (number for number, message in enumerate(messages) if message.role in ("user", "assistant"))
    newest = max(numbers, default=0)
    expansion = Expansion()
    turns = tuple(
        _turn(
            message,
            f"messages.{number}",
            PartReader(refused if number == newest and message.role == "user" else replaced, expansion),
        )
        for number, message in enumerate(messages)
    )
    _check_calls(turns)
    return turns


def _turn(message: ChatTurn, path: str, reader: PartReader) -> ChatMessage:
    text = _text(message, f"{path}.content", reader)
    if message.role == "tool":
        if message.tool_call_id is None:
            raise ValidationError(f"{path}.tool_call_id", "Field required")
        return ChatMessage(Role.TOOL, text, tool_call_id=message.tool_call_id)
    if message.role == "assistant":
        calls = tuple(
            ToolCall(call.id, call.function.name, _arguments(call.function.arguments, f"{path}.tool_calls.{number}"))
            for number, call in enumerate(message.tool_calls or ())
        )
        thinking = message.reasoning_content or (message.reasoning if isinstance(message.reasoning, str) else "")
        return ChatMessage(Role.ASSISTANT, text or message.refusal or "", thinking, calls)
    if message.role == "user" and not text:
        raise ValidationError(f"{path}.content", "must not be empty")
    return ChatMessage(_ROLES[message.role], text)


def _text(message: ChatTurn, path: str, reader: PartReader) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    texts = (reader.text(part, f"{path}.{number}") for number, part in enumerate(message.content))
    return BLOCK_SEPARATOR.join(texts)


def _arguments(value: object, path: str) -> str:
    """The arguments of a call as canonical JSON. Null and empty text mean that there are none.

    Text is what a model wrote: a limit may have cut it off, or it may not be JSON. It stays in the conversation, so it
    becomes an argument by itself where it is not the text of an object.
    """
    field = f"{path}.function.arguments"
    arguments = _parsed(value, field) if isinstance(value, str) else value
    if arguments is None:
        return "{}"
    if isinstance(arguments, dict):
        return json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    if isinstance(value, str):
        return json.dumps({"arguments": value}, ensure_ascii=False)
    raise ValidationError(field, "must be a JSON object, encoded as a string")


def _parsed(text: str, field: str) -> Any:
    """The value of a JSON text; None for an empty one. Other text stays as it is.

    The parser is as strict as that of the request itself. `json.loads` also accepts lone surrogates and deep nesting,
    which would fail in the tokenizer. Those of the body are counted, but not what this text has.
    """
    require_few_values(text.encode(), field)
    try:
        return pydantic_core.from_json(text, allow_inf_nan=False) if text else None
    except ValueError:
        return text


def _check_calls(turns: Sequence[ChatMessage]) -> None:
    """Require that tool messages answer the calls of the assistant message before them, ignoring system messages."""
    called: set[str] = set()
    answered: set[str] = set()
    called_at = 0
    for number, turn in enumerate(turns):
        if turn.role is Role.TOOL:
            if turn.tool_call_id not in called:
                raise ValidationError(
                    f"messages.{number}.tool_call_id",
                    f"{turn.tool_call_id!r} does not match any of the tool_calls in the assistant message before it",
                )
            answered.add(turn.tool_call_id)
        elif turn.role is not Role.SYSTEM:
            _check_answered(called - answered, called_at)
            called, answered, called_at = {call.id for call in turn.tool_calls}, set(), number
    _check_answered(called - answered, called_at)


def _check_answered(left_open: set[str], called_at: int) -> None:
    if left_open:
        ids = listed(left_open)
        raise ValidationError(
            f"messages.{called_at}.tool_calls",
            f"must be followed by a message with role 'tool' for each call; missing: {ids}",
        )
