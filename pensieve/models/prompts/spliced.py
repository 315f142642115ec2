"""Conversations in which the answers that were generated here are replaced by their original tokens."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace

from contracts.values.vocabulary import ChatMessage, Role
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.forms import spliced_calls

Version = tuple[ChatMessage, ...]

Recall = Callable[[ChatMessage, ChatMessage | None], Sequence[int] | None]
"""Maps an assistant's turn and the turn before it to the token ids that were generated for it, without the end token.

None if the turn was not generated here.
"""


def versions(messages: Version, escaped: Version, literals: Literals, recall: Recall | None) -> Iterator[Version]:
    """Versions of the conversation to try in order, from the one that keeps the most generated tokens.

    First every generated answer is spliced in (with its calls beside its text, with calls alone, without calls), then
    only answers without calls, then none. `escaped` are the messages with their text escaped.
    """
    markers = {
        number: literals.splice(token_ids)
        for number in _replaceable(messages)
        if recall is not None and (token_ids := recall(messages[number], messages[number - 1] if number else None))
    }

    def version(chosen: Collection[int], splice: Callable[[ChatMessage, str, Literals], ChatMessage]) -> Version:
        return tuple(
            splice(message, markers[number], literals) if number in chosen else message
            for number, message in enumerate(escaped)
        )

    calling = [number for number in markers if messages[number].tool_calls]
    if calling:
        yield version(markers, _spliced_before_calls)
        yield version(markers, _spliced_as_calls)
    if markers:
        yield version(markers, _spliced)
    if calling and len(calling) < len(markers):
        yield version(markers.keys() - set(calling), _spliced)
    yield escaped


def _replaceable(messages: tuple[ChatMessage, ...]) -> Iterator[int]:
    """Positions of complete answers: not an unfinished last one, and not turns that a template may join."""
    for number, message in enumerate(messages[:-1]):
        neighbours = (*messages[max(0, number - 1) : number], messages[number + 1])
        if message.role is Role.ASSISTANT and all(other.role is not Role.ASSISTANT for other in neighbours):
            yield number


def _spliced(message: ChatMessage, marker: str, _literals: Literals) -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, marker, cache_ttl_seconds=message.cache_ttl_seconds)


def _spliced_before_calls(message: ChatMessage, marker: str, literals: Literals) -> ChatMessage:
    spliced = _spliced(message, marker, literals)
    return replace(spliced, tool_calls=spliced_calls(message.tool_calls, marker, literals))


def _spliced_as_calls(message: ChatMessage, marker: str, literals: Literals) -> ChatMessage:
    """For templates that write a turn's text after its calls, or not at all."""
    spliced = _spliced_before_calls(message, marker, literals)
    return replace(spliced, text="") if spliced.tool_calls else spliced
