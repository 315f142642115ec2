"""A conversation with the answers that were generated here put back as the tokens that they were generated as."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from contracts.values.vocabulary import ChatMessage, Role
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.forms import spliced_calls

Version = tuple[ChatMessage, ...]

Recall = Callable[[ChatMessage, ChatMessage | None], Sequence[int] | None]
"""The tokens that an assistant's turn was generated as, if it was generated here, without the one that ended it. The
second is the turn before it."""


def versions(messages: Version, hidden: Version, literals: Literals, recall: Recall | None) -> Iterator[Version]:
    """`hidden`, which are the messages with their texts hidden: with all answers as they were generated, their calls
    beside them or not, then with those alone that call nothing, then as it is.
    """
    marks = {
        number: literals.splice(token_ids)
        for number in _replaceable(messages)
        if recall is not None and (token_ids := recall(messages[number], messages[number - 1] if number else None))
    }

    def version(chosen: Iterable[int], how: Callable[[ChatMessage, str, Literals], ChatMessage]) -> Version:
        return tuple(
            how(message, marks[number], literals) if number in chosen else message
            for number, message in enumerate(hidden)
        )

    calling = [number for number in marks if messages[number].tool_calls]
    if calling:
        yield version(marks, _spliced_before_calls)
        yield version(marks, _spliced_as_calls)
    if marks:
        yield version(marks, _spliced)
    if calling and len(calling) < len(marks):
        yield version([number for number in marks if number not in calling], _spliced)
    yield hidden


def _replaceable(messages: tuple[ChatMessage, ...]) -> Iterator[int]:
    """The places of answers that are whole: neither the one that goes on, nor parts that a template may join."""
    for number, message in enumerate(messages[:-1]):
        neighbours = (*messages[max(0, number - 1) : number], messages[number + 1])
        if message.role is Role.ASSISTANT and all(other.role is not Role.ASSISTANT for other in neighbours):
            yield number


def _spliced(message: ChatMessage, mark: str, _literals: Literals) -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, mark, cache_ttl_seconds=message.cache_ttl_seconds)


def _spliced_before_calls(message: ChatMessage, mark: str, literals: Literals) -> ChatMessage:
    spliced = _spliced(message, mark, literals)
    return replace(spliced, tool_calls=spliced_calls(message.tool_calls, mark, literals))


def _spliced_as_calls(message: ChatMessage, mark: str, literals: Literals) -> ChatMessage:
    """For templates that write text behind the calls, or not at all."""
    spliced = _spliced_before_calls(message, mark, literals)
    return replace(spliced, text="") if spliced.tool_calls else spliced
