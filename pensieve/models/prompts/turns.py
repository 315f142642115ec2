"""The forms in which a conversation can be given to a chat template."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from contracts.vocabulary import ChatMessage, Role, Tool
from pensieve.core.dialects.dialect import tool_as_json
from pensieve.models.prompts.literals import Literals

Form = Callable[[Sequence[ChatMessage]], Sequence[ChatMessage]]
"""A way to say the same conversation. What it makes of a beginning is how it begins what it makes of the whole."""


def texts(messages: Iterable[ChatMessage], tools: Iterable[Tool]) -> Iterator[str]:
    """Everything of the user's that goes into a prompt."""
    for message in messages:
        yield from (message.text, message.thinking)
        for call in message.tool_calls:
            yield from (call.name, call.arguments, _plainly(json.loads(call.arguments)))
    for tool in tools:
        yield _plainly(tool_as_json(tool))


def _plainly(value: object) -> str:
    """JSON in which every character stands for itself, so that none is hidden by an escape."""
    return json.dumps(value, ensure_ascii=False)


def as_turn(message: ChatMessage, literals: Literals) -> dict[str, object]:
    """A message in the form that chat templates expect."""
    turn: dict[str, object] = {"role": message.role.value, "content": literals.hide(message.text)}
    if message.thinking:
        turn["reasoning_content"] = literals.hide(message.thinking)
    if message.tool_calls:
        turn["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": literals.hide(call.name),
                    "arguments": literals.hide_in(json.loads(call.arguments)),
                },
            }
            for call in message.tool_calls
        ]
    if message.role is Role.TOOL:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def as_paragraphs(messages: Sequence[ChatMessage], literals: Literals, *, opens_answer: bool) -> str:
    """The form for models without a template: paragraphs, each with its speaker, system messages bare."""
    speakers = {Role.SYSTEM: "", Role.USER: "User: ", Role.ASSISTANT: "Assistant: "}
    turns = [speakers[message.role] + literals.hide(message.text) for message in messages]
    return "\n\n".join([*turns, *(["Assistant:"] if opens_answer else [])])


def _as_they_are(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    return messages


def _without_notes(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    return _joined(_system_as_user(messages, keep_first=True))


def _without_system(messages: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
    return _joined(_system_as_user(messages))


FORMS: Final[tuple[Form, ...]] = (_as_they_are, _without_notes, _without_system)
"""In the order in which a template is asked: at last it sees users and assistants alone."""


def _system_as_user(messages: Iterable[ChatMessage], *, keep_first: bool = False) -> list[ChatMessage]:
    """System messages as marked parts of a user's turn; with `keep_first`, those at the start are left."""
    turned: list[ChatMessage] = []
    for message in messages:
        at_start = keep_first and all(earlier.role is Role.SYSTEM for earlier in turned)
        if message.role is Role.SYSTEM and not at_start:
            turned.append(ChatMessage(Role.USER, f"<system>\n{message.text}\n</system>"))
        else:
            turned.append(message)
    return turned


def _joined(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Neighbours of the same role as one message, in paragraphs."""
    joined: list[ChatMessage] = []
    for message in messages:
        if joined and joined[-1].role is message.role and not message.tool_calls and not joined[-1].tool_calls:
            joined[-1] = ChatMessage(message.role, f"{joined[-1].text}\n\n{message.text}")
        else:
            joined.append(message)
    return joined
