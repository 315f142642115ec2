"""Messages as the dictionaries that chat templates take, and as paragraphs for models without a template."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.core.dialects.dialect import tool_as_json
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.encoding.token_estimate import PromptText
from pensieve.models.prompts.options import TurnStyle

ERROR_PREFIX = "Error: "
"""Put before the result of a failed call, because templates have no field for errors."""


def client_texts(messages: Iterable[ChatMessage], tools: Iterable[Tool]) -> Iterator[str]:
    """Every string of the client's that goes into a prompt."""
    for message in messages:
        yield from (message.text, message.thinking, message.tool_call_id or "")
        for call in message.tool_calls:
            yield from (call.id, call.name, call.arguments, _unescaped_json(json.loads(call.arguments)))
    for tool in tools:
        yield _unescaped_json(tool_as_json(tool))


_KEPT_OF_JSON: Final = 0.25
"""Templates write JSON again, without its spaces and with plain characters for `\\u00e9`, which is four tokens."""


def texts_in_prompt(messages: Iterable[ChatMessage], tools: Iterable[Tool], think_end: str) -> list[PromptText]:
    """The texts that every template writes: not thinking, nor what an answer has before the mark that ends thinking."""
    texts = []
    for message in messages:
        has_thinking = think_end and message.role is Role.ASSISTANT
        text = message.text.rpartition(think_end)[2] if has_thinking else message.text
        texts.append(PromptText(text.strip()))
        texts += [PromptText(call.arguments, _KEPT_OF_JSON) for call in message.tool_calls]
    for tool in tools:
        texts += [PromptText(tool.description.strip()), PromptText(tool.input_schema, _KEPT_OF_JSON)]
    return texts


def _unescaped_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def as_turns(messages: Sequence[ChatMessage], literals: Literals, style: TurnStyle) -> list[dict[str, object]]:
    """Messages in the form that chat templates expect. Results get their tool's name, which some templates need."""
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
                "id": literals.escape(call.id),
                "type": "function",
                "function": {
                    "name": call.name,
                    "arguments": call.arguments if style.has_argument_text else json.loads(call.arguments),
                },
            }
            for call in message.tool_calls
        ]
    if message.role is Role.TOOL:
        turn["tool_call_id"] = literals.escape(message.tool_call_id or "")
        if (name := names.get(message.tool_call_id or "")) is not None:
            turn["name"] = name
    return turn


def content_of(text: str, style: TurnStyle) -> object:
    return [{"type": "text", "text": text}] if style.has_parts else text


def as_paragraphs(messages: Sequence[ChatMessage], *, opens_answer: bool) -> str:
    """The prompt for models without a template: a paragraph per turn with its speaker, system messages without one."""
    speakers = {Role.SYSTEM: "", Role.USER: "User: ", Role.ASSISTANT: "Assistant: "}
    turns = [speakers[message.role] + message.text for message in messages]
    return "\n\n".join([*turns, *(["Assistant:"] if opens_answer else [])])
