"""The forms in which a conversation can be given to a chat template.

A template may refuse a role, drop a text or want its turns in another order. Each rewrite says one such thing in
another way, touches only what it is about, and changes nothing where there is no such thing; so a conversation that
grows keeps its beginning.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.core.dialects.dialect import Dialect, result_text
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.options import TurnStyle

Messages = Sequence[ChatMessage]


class Rewrite(Enum):
    """In the order in which they are done, which is not that in which they are tried."""

    NINE_CHARACTER_IDS = "ids of calls are nine letters and digits, as Mistral's templates want them"
    FUNCTION_IDS = "ids of calls are functions.NAME:NUMBER, as Kimi K2's templates want them"
    CALLS_IN_TEXT = "calls are part of the assistant's text, as the model writes them"
    AS_GENERATED = "text and the calls after it stand where the template has a call, as the model writes them"
    RESULTS_AS_USER = "results of calls are the user's turns"
    ONE_CALL_A_TURN = "calls made at once are turns of their own, each before its result"
    TEXT_APART = "what an assistant says beside its calls is a turn of its own before them"
    NOTES_AS_USER = "system messages after the first turn are marked parts of the user's turn"
    SYSTEM_AS_USER = "so are those at the head"
    TEXT_IN_RESULT = "what the user says right after a result is part of the result"
    JOINED = "neighbours of the same role are one turn"
    CONTENT_PARTS = "content is a list of parts"
    ARGUMENT_TEXT = "the arguments of calls are JSON text"


@dataclass(frozen=True, slots=True)
class Form:
    """What it makes of a beginning is how it begins what it makes of the whole."""

    rewrites: frozenset[Rewrite] = frozenset()

    @property
    def style(self) -> TurnStyle:
        return TurnStyle(Rewrite.CONTENT_PARTS in self.rewrites, Rewrite.ARGUMENT_TEXT in self.rewrites)

    def of(self, messages: Messages, literals: Literals, dialect: Dialect) -> Messages:
        for rewrite in Rewrite:
            if rewrite in self.rewrites and rewrite in _REWRITTEN:
                messages = _REWRITTEN[rewrite](messages, literals, dialect)
        return messages

    def with_rewrites(self, *rewrites: Rewrite) -> Form:
        return Form(self.rewrites | frozenset(rewrites))


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
    """Answers that are put back as their tokens have their calls in these."""
    marks = [literals.answer_in(message) for message in messages]
    return [
        replace(message, text=mark, tool_calls=()) if mark is not None else message
        for mark, message in zip(marks, messages, strict=True)
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
    if not message.tool_calls or not message.text or literals.answer_in(message) is not None:
        return message
    mark = literals.written(f"{message.text}{dialect.call_text(message.tool_calls)}")
    return replace(message, text=mark, tool_calls=spliced_calls(message.tool_calls, mark, literals))


def _results_as_user(messages: Messages, _literals: Literals, _dialect: Dialect) -> Messages:
    return [
        ChatMessage(Role.USER, result_text(message.text, is_error=message.is_error))
        if message.role is Role.TOOL
        else message
        for message in messages
    ]


def _one_call_a_turn(messages: Messages, literals: Literals, _dialect: Dialect) -> Messages:
    rewritten: list[ChatMessage] = []
    waiting: list[ChatMessage] = []
    for message in messages:
        if len(message.tool_calls) > 1:
            mark = literals.answer_in(message)
            if mark is not None:
                last = spliced_calls(message.tool_calls[-1:], mark, literals)
                rewritten.append(replace(message, tool_calls=last))
                continue
            first, *rest = message.tool_calls
            rewritten.append(replace(message, tool_calls=(first,)))
            waiting = [ChatMessage(Role.ASSISTANT, "", tool_calls=(call,)) for call in rest]
            continue
        if message.role is not Role.TOOL:
            rewritten += waiting
            waiting = []
        called = [turn for turn in waiting if turn.tool_calls[0].id == message.tool_call_id]
        rewritten += [*called, message]
        waiting = [turn for turn in waiting if turn not in called]
    return [*rewritten, *waiting]


def _text_apart(messages: Messages, literals: Literals, _dialect: Dialect) -> Messages:
    rewritten: list[ChatMessage] = []
    for message in messages:
        if message.tool_calls and message.text and literals.answer_in(message) is None:
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
    rewritten: list[ChatMessage] = []
    for message in messages:
        if message.role is Role.USER and rewritten and rewritten[-1].role is Role.TOOL:
            rewritten[-1] = replace(rewritten[-1], text=f"{rewritten[-1].text}\n\n{message.text}")
        else:
            rewritten.append(message)
    return rewritten


def _joined(messages: Messages, _literals: Literals, _dialect: Dialect) -> Messages:
    joined: list[ChatMessage] = []
    for message in messages:
        before = joined[-1] if joined else None
        calls = message.tool_calls or (before is not None and before.tool_calls)
        if before is None or message.role is not before.role or message.role is Role.TOOL or calls:
            joined.append(message)
            continue
        joined[-1] = replace(
            before,
            text=_in_paragraphs(before.text, message.text),
            thinking=_in_paragraphs(before.thinking, message.thinking),
        )
    return joined


def _in_paragraphs(one: str, other: str) -> str:
    return "\n\n".join(text for text in (one, other) if text)


_REWRITTEN: dict[Rewrite, Callable[[Messages, Literals, Dialect], Messages]] = {
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


def spliced_calls(calls: Sequence[ToolCall], mark: str, literals: Literals) -> tuple[ToolCall, ...]:
    """The calls of an answer that is put back as its tokens, with marks in the first and the last of them."""
    marked = list(calls)
    for number, text in ((-1, literals.last_argument(mark)), (0, literals.first_argument(mark))):
        if marked:
            key, before = next(iter(json.loads(marked[number].arguments).items()), ("value", ""))
            both = text + (before if len(marked) == 1 and number == 0 else "")
            marked[number] = replace(marked[number], arguments=json.dumps({key: both}, ensure_ascii=False))
    return tuple(marked)
