"""Messages as the dictionaries and paragraphs that models' templates are given."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.core.dialects.dialect import tool_as_json
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.options import TurnStyle

ERROR_PREFIX = "Error: "
"""Before the result of a call that failed: no template has a field for it."""


def texts(messages: Iterable[ChatMessage], tools: Iterable[Tool]) -> Iterator[str]:
    """Everything of the user's that goes into a prompt."""
    for message in messages:
        yield from (message.text, message.thinking, message.tool_call_id or "")
        for call in message.tool_calls:
            yield from (call.id, call.name, call.arguments, _plainly(json.loads(call.arguments)))
    for tool in tools:
        yield _plainly(tool_as_json(tool))


def _plainly(value: object) -> str:
    """JSON in which every character stands for itself, so that none is hidden by an escape."""
    return json.dumps(value, ensure_ascii=False)


def as_turns(messages: Sequence[ChatMessage], literals: Literals, style: TurnStyle) -> list[dict[str, object]]:
    """Messages in the form that chat templates expect. A result is given the name of the tool that it is of, since
    some templates do not look it up.
    """
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    return [_as_turn(message, literals, style, names) for message in messages]


def _as_turn(message: ChatMessage, literals: Literals, style: TurnStyle, names: Mapping[str, str]) -> dict[str, object]:
    text = f"{ERROR_PREFIX}{message.text}" if message.role is Role.TOOL and message.is_error else message.text
    turn: dict[str, object] = {"role": message.role.value, "content": content_of(text, style)}
    if message.thinking:
        turn["reasoning_content"] = message.thinking
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": literals.hide(call.id),
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.arguments if style.has_argument_text else json.loads(call.arguments),
                },
            }
            for call in message.tool_calls
        ]
    if message.role is Role.TOOL:
        turn["tool_call_id"] = literals.hide(message.tool_call_id or "")
        if (name := names.get(message.tool_call_id or "")) is not None:
            turn["name"] = name
    return turn


def content_of(text: str, style: TurnStyle) -> object:
    return [{"type": "text", "text": text}] if style.has_parts else text


def as_paragraphs(messages: Sequence[ChatMessage], *, opens_answer: bool) -> str:
    """The form for models without a template: paragraphs, each with its speaker, system messages bare."""
    speakers = {Role.SYSTEM: "", Role.USER: "User: ", Role.ASSISTANT: "Assistant: "}
    turns = [speakers[message.role] + message.text for message in messages]
    return "\n\n".join([*turns, *(["Assistant:"] if opens_answer else [])])
