"""Rewrites of a conversation for chat templates that refuse a role, drop a text or require another order of turns.

Each rewrite changes only the turns that it concerns, so a growing conversation keeps its rendered beginning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain, count

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.core.dialects.dialect import Dialect, result_text
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.options import TurnStyle

Messages = Sequence[ChatMessage]


class Rewrite(Enum):
    """In the order of application. `fitting.search` tries them in another order."""

    NINE_CHARACTER_IDS = "call ids have nine letters and digits, as Mistral's templates require"
    FUNCTION_IDS = "call ids are functions.NAME:NUMBER, as Kimi K2's templates require"
    CALLS_IN_TEXT = "calls are part of the assistant's text, in the model's own syntax"
    AS_GENERATED = "text and its calls replace the call in the template, in the model's own syntax"
    RESULTS_AS_USER = "results are user turns"
    ONE_CALL_A_TURN = "parallel calls are separate turns, each before its result"
    TEXT_APART = "the assistant's text beside calls is a separate turn before them"
    NOTES_AS_USER = "system messages after the first turn are tagged parts of the user's turn"
    SYSTEM_AS_USER = "leading system messages are tagged parts of the user's turn as well"
    TEXT_IN_RESULT = "user text right after a result is part of the result"
    JOINED = "adjacent turns of one role are joined"
    CONTENT_PARTS = "content is a list of parts"
    ARGUMENT_TEXT = "call arguments are JSON text"


@dataclass(frozen=True, slots=True)
class ConversationForm:
    """The rewrites that a template needs. A rewritten conversation begins with its rewritten beginning."""

    rewrites: frozenset[Rewrite] = frozenset()

    @property
    def style(self) -> TurnStyle:
        return TurnStyle(Rewrite.CONTENT_PARTS in self.rewrites, Rewrite.ARGUMENT_TEXT in self.rewrites)

    def apply(self, messages: Messages, literals: Literals, dialect: Dialect) -> Messages:
        for rewrite in Rewrite:
            if rewrite in self.rewrites and rewrite in _REWRITE_FUNCTIONS:
                messages = _REWRITE_FUNCTIONS[rewrite](messages, literals, dialect)
        return messages

    def with_rewrites(self, *rewrites: Rewrite) -> ConversationForm:
        return ConversationForm(self.rewrites | frozenset(rewrites))


def _nine_character_ids(messages: Messages, _literals: Literals, _dialect: Dialect) -> Messages:
    return _with_ids(messages, lambda call: hashlib.sha256(call.encode("utf-8", "replace")).hexdigest()[:9])


def _function_ids(messages: Messages, _literals: Literals, _dialect: Dialect) -> Messages:
    numbers = count()
    ids: dict[str, str] = {}
    for message in messages:
        for call in message.tool_calls:
            ids[call.id] = f"functions.{call.name}:{next(numbers)}"
    return _with_ids(messages, lambda call_id: ids.get(call_id, call_id))


def _with_ids(messages: Messages, new_id: Callable[[str], str]) -> Messages:
    return [
        replace(
            message,
            tool_calls=tuple(replace(call, id=new_id(call.id)) for call in message.tool_calls),
            tool_call_id=message.tool_call_id and new_id(message.tool_call_id),
        )
        for message in messages
    ]


def without_spliced_calls(messages: Messages, literals: Literals) -> Messages:
    """Drop the calls of answers that are spliced in, because their tokens contain the calls."""
    markers = [literals.answer_marker(message) for message in messages]
    return [
        replace(message, text=marker, tool_calls=()) if marker is not None else message
        for marker, message in zip(markers, messages, strict=True)
    ]


def _calls_in_text(messages: Messages, literals: Literals, dialect: Dialect) -> Messages:
    rewritten = []
    for message in without_spliced_calls(messages, literals):
        calls = [dialect.call_text(message.tool_calls)] if message.tool_calls else []
        text = "\n".join([*([message.text] if message.text or not calls else []), *calls])
        rewritten.append(replace(message, text=text, tool_calls=()))
    return rewritten


def _as_generated(messages: Messages, literals: Literals, dialect: Dialect) -> Messages:
    in_parts = dialect.text_end or dialect.joint or not dialect.calls.start
    return messages if in_parts else [_generated(message, literals, dialect) for message in messages]


def _generated(message: ChatMessage, literals: Literals, dialect: Dialect) -> ChatMessage:
    if not message.tool_calls or not message.text or literals.answer_marker(message) is not None:
        return message
    marker = literals.splice_text(f"{message.text}{dialect.call_text(message.tool_calls)}")
    return replace(message, text=marker, tool_calls=spliced_calls(message.tool_calls, marker, literals))


def _results_as_user(messages: Messages, _literals: Literals, _dialect: Dialect) -> Messages:
    return [
        ChatMessage(Role.USER, result_text(message.text, is_error=message.is_error))
        if message.role is Role.TOOL
        else message
        for message in messages
    ]


def _one_call_a_turn(messages: Messages, literals: Literals, _dialect: Dialect) -> Messages:
    rewritten: list[ChatMessage] = []
    pending: dict[str, list[ChatMessage]] = {}
    for message in messages:
        if len(message.tool_calls) > 1:
            marker = literals.answer_marker(message)
            if marker is not None:
                last = spliced_calls(message.tool_calls[-1:], marker, literals)
                rewritten.append(replace(message, tool_calls=last))
                continue
            first, *rest = message.tool_calls
            rewritten.append(replace(message, tool_calls=(first,)))
            pending = {}
            for call in rest:
                pending.setdefault(call.id, []).append(ChatMessage(Role.ASSISTANT, "", tool_calls=(call,)))
            continue
        if message.role is not Role.TOOL:
            rewritten += chain(*pending.values())
            pending = {}
        rewritten += [*pending.pop(message.tool_call_id or "", ()), message]
    return [*rewritten, *chain(*pending.values())]


def _text_apart(messages: Messages, literals: Literals, _dialect: Dialect) -> Messages:
    rewritten: list[ChatMessage] = []
    for message in messages:
        if message.tool_calls and message.text and literals.answer_marker(message) is None:
            rewritten.append(replace(message, tool_calls=()))
            rewritten.append(ChatMessage(Role.ASSISTANT, "", tool_calls=message.tool_calls))
        else:
            rewritten.append(message)
    return rewritten


def _notes_as_user(messages: Messages, _literals: Literals, _dialect: Dialect) -> Messages:
    num_leading = next((number for number, message in enumerate(messages) if message.role is not Role.SYSTEM), None)
    at_head = messages if num_leading is None else messages[:num_leading]
    return [*at_head, *_as_user(messages[len(at_head) :])]


def _system_as_user(messages: Messages, _literals: Literals, _dialect: Dialect) -> Messages:
    return _as_user(messages)


def _as_user(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    return [
        ChatMessage(Role.USER, f"<system>\n{message.text}\n</system>") if message.role is Role.SYSTEM else message
        for message in messages
    ]


def _text_in_result(messages: Messages, _literals: Literals, _dialect: Dialect) -> Messages:
    runs = _runs(messages, lambda before, message: before.role is Role.TOOL and message.role is Role.USER)
    return [
        replace(run[0], text="\n\n".join(message.text for message in run)) if len(run) > 1 else run[0] for run in runs
    ]


def _joined(messages: Messages, _literals: Literals, _dialect: Dialect) -> Messages:
    def goes_on(before: ChatMessage, message: ChatMessage) -> bool:
        calls = message.tool_calls or before.tool_calls
        return message.role is before.role and message.role is not Role.TOOL and not calls

    return [
        replace(
            run[0],
            text=_in_paragraphs(message.text for message in run),
            thinking=_in_paragraphs(message.thinking for message in run),
        )
        if len(run) > 1
        else run[0]
        for run in _runs(messages, goes_on)
    ]


def _runs(messages: Messages, goes_on: Callable[[ChatMessage, ChatMessage], bool]) -> list[list[ChatMessage]]:
    """Messages that become one. `goes_on` compares the first of them with the next message."""
    runs: list[list[ChatMessage]] = []
    for message in messages:
        if runs and goes_on(runs[-1][0], message):
            runs[-1].append(message)
        else:
            runs.append([message])
    return runs


def _in_paragraphs(texts: Iterable[str]) -> str:
    return "\n\n".join(text for text in texts if text)


_REWRITE_FUNCTIONS: dict[Rewrite, Callable[[Messages, Literals, Dialect], Messages]] = {
    Rewrite.NINE_CHARACTER_IDS: _nine_character_ids,
    Rewrite.FUNCTION_IDS: _function_ids,
    Rewrite.CALLS_IN_TEXT: _calls_in_text,
    Rewrite.AS_GENERATED: _as_generated,
    Rewrite.RESULTS_AS_USER: _results_as_user,
    Rewrite.ONE_CALL_A_TURN: _one_call_a_turn,
    Rewrite.TEXT_APART: _text_apart,
    Rewrite.NOTES_AS_USER: _notes_as_user,
    Rewrite.SYSTEM_AS_USER: _system_as_user,
    Rewrite.TEXT_IN_RESULT: _text_in_result,
    Rewrite.JOINED: _joined,
}


def spliced_calls(calls: Sequence[ToolCall], marker: str, literals: Literals) -> tuple[ToolCall, ...]:
    """The calls of an answer that is spliced in, with markers in the arguments of the first and the last call."""
    marked = list(calls)
    for number, text in ((-1, literals.last_argument_marker(marker)), (0, literals.first_argument_marker(marker))):
        if marked:
            key, before = next(iter(json.loads(marked[number].arguments).items()), ("value", ""))
            both = text + (before if len(marked) == 1 and number == 0 else "")
            marked[number] = replace(marked[number], arguments=json.dumps({key: both}, ensure_ascii=False))
    return tuple(marked)
