"""OpenAI chat messages as the turns that a chat template renders (W6)."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pydantic_core

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.api.anthropic.content.placeholders import IMAGE, IMAGE_REFUSED
from pensieve.api.anthropic.content.reading import BLOCK_SEPARATOR
from pensieve.api.openai.messages import ChatTurn, RefusalPart, TextPart
from pensieve.core.errors import ValidationError

_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
}
_REFUSED = {
    "image_url": IMAGE_REFUSED,
    "input_audio": "this model reads text only: remove the audio, or send its transcript",
    "file": "files are not supported: send their text",
}
_NO_SUCH_PART = "parts of type {!r} are not supported"
_MARKED = {
    "image_url": IMAGE,
    "input_audio": "[a recording, which this model cannot hear]",
    "file": "[a file, which this model cannot read]",
}
_UNREADABLE = "[a part that this model cannot read]"


def turns_of(messages: Sequence[ChatTurn]) -> tuple[ChatMessage, ...]:
    """The turns of all messages, in order. A final assistant message is continued, as in the Messages API.

    Raises:
        ValidationError: a user message is empty, a part of a new message cannot be read, arguments are not a JSON
            object, or a call and its result do not match.
    """
    newest = max((number for number, message in enumerate(messages) if message.role == "assistant"), default=-1) + 1
    turns = tuple(
        _turn(message, f"messages.{number}", is_new=number >= newest) for number, message in enumerate(messages)
    )
    _check_calls(turns)
    return turns


def _turn(message: ChatTurn, path: str, *, is_new: bool) -> ChatMessage:
    text = _text(message, f"{path}.content", may_refuse=is_new and message.role != "tool")
    if message.role == "tool":
        if message.tool_call_id is None:
            raise ValidationError(f"{path}.tool_call_id", "Field required")
        return ChatMessage(Role.TOOL, text, tool_call_id=message.tool_call_id)
    if message.role == "assistant":
        calls = tuple(
            ToolCall(call.id, call.function.name, _arguments(call.function.arguments, f"{path}.tool_calls.{number}"))
            for number, call in enumerate(message.tool_calls or ())
        )
        return ChatMessage(Role.ASSISTANT, text or message.refusal or "", message.reasoning_content or "", calls)
    if message.role == "user" and not text:
        raise ValidationError(f"{path}.content", "must not be empty")
    return ChatMessage(_ROLES[message.role], text)


def _text(message: ChatTurn, path: str, *, may_refuse: bool) -> str:
    """The text of a message. What cannot be read is refused in a new message, which the user can still change. In an
    older one or in a tool's result it would end the conversation for good, so its place is marked.
    """
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    texts = []
    for number, part in enumerate(message.content):
        match part:
            case TextPart():
                texts.append(part.text)
            case RefusalPart():
                texts.append(part.refusal)
            case _ if may_refuse:
                raise ValidationError(f"{path}.{number}", _REFUSED.get(part.type, _NO_SUCH_PART.format(part.type)))
            case _:
                texts.append(_MARKED.get(part.type, _UNREADABLE))
    return BLOCK_SEPARATOR.join(texts)


def _arguments(value: object, path: str) -> str:
    """The arguments of a call as canonical JSON. Null and empty text mean that there are none.

    The parser is as strict as that of the request itself. `json.loads` also accepts lone surrogates and deep nesting,
    which would fail in the tokenizer.
    """
    arguments = {} if value is None or value == "" else value
    try:
        if isinstance(arguments, str):
            arguments = pydantic_core.from_json(arguments, allow_inf_nan=False)
        if isinstance(arguments, dict):
            return json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    except ValueError:
        pass
    raise ValidationError(f"{path}.function.arguments", "must be a JSON object, encoded as a string")


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
        ids = ", ".join(sorted(left_open))
        raise ValidationError(
            f"messages.{called_at}.tool_calls",
            f"must be followed by a message with role 'tool' for each call; missing: {ids}",
        )
