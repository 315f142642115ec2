"""A conversation as the token ids that a model was taught to read (design: a request's way, 2).

The model's own template decides the form. This module adds four things: conversations that a template refuses are
brought into a form that it takes, an answer that has begun is continued, the text of a message stays text even where it
spells one of the model's control tokens, so that no message can pretend to be another's, and an answer that was
generated here stands in the prompt as the tokens that it was generated as (C1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from contracts.vocabulary import ChatMessage, Role, Thinking, Tool
from pensieve.core.boundary import Boundary
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.errors import ValidationError
from pensieve.models.prompts.encoder import PromptEncoder
from pensieve.models.prompts.literals import Literals
from pensieve.models.prompts.rendered import RenderedConversation, Way, tools_told
from pensieve.models.prompts.template_text import REFUSALS, Ending, Options, TemplateText
from pensieve.models.prompts.turns import FORMS, texts

_TAIL_TOKENS: Final = 16
"""Enough for a mark that is no single token, and the line breaks behind it."""

Recall = Callable[[ChatMessage, ChatMessage | None], Sequence[int] | None]
"""The tokens that an assistant's turn was generated as, if it was generated here, without the one that ended it. The
second is the turn before it."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """`boundaries` are in the order of the prompt. `starts_thinking`: it ends with thinking open, as some templates
    leave it, and the model goes on with it.
    """

    token_ids: list[int]
    boundaries: tuple[Boundary, ...] = ()
    starts_thinking: bool = False


class ChatTemplate:
    """Renders conversations for one tokenizer. Any thread may use it."""

    def __init__(self, tokenizer: Any, dialect: Dialect = Dialect(), recall: Recall | None = None) -> None:  # noqa: B008
        """`tokenizer` is mlx-lm's TokenizerWrapper, or a Transformers tokenizer; `dialect` is its model's."""
        self._tokenizer = tokenizer
        self._dialect = dialect
        self._recall = recall
        self._takes_tools = bool(getattr(tokenizer, "has_tool_calling", False))
        has_template = bool(getattr(tokenizer, "has_chat_template", None) or tokenizer.chat_template)
        self._template = TemplateText(tokenizer, has_template=has_template)
        self._encoder = PromptEncoder(tokenizer, has_template=has_template)

    def render(
        self,
        messages: tuple[ChatMessage, ...],
        tools: tuple[Tool, ...] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> RenderedPrompt:
        """The prompt, up to where the model's answer begins, or goes on if the last message is its own.

        A template may refuse system messages, or roles that do not alternate. It is then tried again with what it may
        take: a system message in mid-conversation becomes a marked part of the user's turn, and turns of the same
        role are joined; at last the leading system message goes into the first user turn as well. A model without a
        template gets `User: …` and `Assistant: …` in paragraphs. Tools, calls and their results are given to a
        template that knows them, and told to all others in the general form.

        Raises:
            ValidationError: no messages; an answer to continue that ends in whitespace; or a conversation that the
                template takes in no form.
        """
        conversation = self._rendered(messages, tools, thinking)
        encoded = self._encoder.encode(conversation.literals, conversation.text)
        boundaries = tuple(conversation.boundaries(encoded))
        return RenderedPrompt(encoded.token_ids, boundaries, self._ends_thinking(encoded.token_ids))

    def locate(
        self,
        messages: tuple[ChatMessage, ...],
        tools: tuple[Tool, ...],
        thinking: Thinking,
        num_tokens: int,
    ) -> str:
        """In which part of the prompt the token lies that has `num_tokens` before it: "tools", "system", "messages.3"
        (counted from 0 behind the leading system turns), or "end" for what opens the model's answer.

        Raises:
            ValidationError: as `render`.
        """
        conversation = self._rendered(messages, tools, thinking)
        encoded = self._encoder.encode(conversation.literals, conversation.text)
        return conversation.part_at(encoded, num_tokens)

    def encode_raw(self, text: str) -> list[int]:
        """The token ids of a prompt that is to be continued as it stands; at least one.

        It is one author's text, so control tokens in it are what they spell: clients that fill in a template
        themselves rely on it. Those may also have written the first token, which is then not put before it again.

        Raises:
            ValidationError: there is nothing to continue.
        """
        token_ids = [int(token_id) for token_id in self._tokenizer.encode(text)]
        if token_ids[:2] == self._encoder.first_tokens() * 2:
            token_ids = token_ids[1:]
        if not token_ids:
            raise ValidationError("prompt", "must not be empty")
        return token_ids

    @cached_property
    def takes_system_prompt(self) -> bool:
        """Whether the template has a place of its own for a system message."""
        probe = (ChatMessage(Role.SYSTEM, "Be brief."), ChatMessage(Role.USER, "Hello."))
        try:
            return self._has_place_for(probe)
        except REFUSALS:
            return False

    def _rendered(
        self, messages: tuple[ChatMessage, ...], tools: tuple[Tool, ...], thinking: Thinking
    ) -> RenderedConversation:
        messages = _checked(messages)
        ending = Ending.ANSWER_GOES_ON if messages[-1].role is Role.ASSISTANT else Ending.ANSWER_OPENS
        literals = Literals(texts(messages, tools), self._encoder.control_tokens)
        way = Way(self._template, Options(tools_told(tools), thinking), None if self._takes_tools else self._dialect)
        refusal: Exception | None = None
        versions = list(self._versions(messages, literals))
        for form in FORMS:
            for version in versions:
                try:
                    said = replace(way, form=form)
                    return RenderedConversation(version, literals, said, ending, said.text(version, literals, ending))
                except REFUSALS as error:
                    refusal = error if version is messages and refusal is None else refusal
        raise ValidationError("messages", f"the model's chat template refuses this conversation: {refusal}")

    def _versions(self, messages: tuple[ChatMessage, ...], literals: Literals) -> Iterator[tuple[ChatMessage, ...]]:
        """The conversation with its answers as they were generated, then with those alone that call nothing, since a
        template may ask where a result comes from, then as it was sent.
        """
        marks = {
            number: literals.splice(token_ids)
            for number in _replaceable(messages)
            if (token_ids := self._recalled(messages, number))
        }
        without_calls = {number: mark for number, mark in marks.items() if not messages[number].tool_calls}
        for chosen in (marks, without_calls if len(without_calls) < len(marks) else {}):
            if chosen:
                yield tuple(
                    ChatMessage(Role.ASSISTANT, chosen[number], cache_ttl_seconds=message.cache_ttl_seconds)
                    if number in chosen
                    else message
                    for number, message in enumerate(messages)
                )
        yield messages

    def _recalled(self, messages: tuple[ChatMessage, ...], number: int) -> Sequence[int] | None:
        before = messages[number - 1] if number else None
        return self._recall(messages[number], before) if self._recall is not None else None

    def _has_place_for(self, probe: tuple[ChatMessage, ...]) -> bool:
        if not self._template.has_template:
            return False
        return probe[0].text in self._template.of(probe, Literals((), None), Options(), Ending.ANSWER_OPENS)

    def _ends_thinking(self, token_ids: list[int]) -> bool:
        mark = self._dialect.think_start
        if mark is None:
            return False
        tail: str = self._tokenizer.decode(token_ids[-_TAIL_TOKENS:])
        return tail.rstrip().endswith(self._dialect.marks.plain(mark).rstrip())


def _checked(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    """The messages, without a beginning of an answer that is none.

    Raises:
        ValidationError: there are none, or an answer to continue ends in whitespace.
    """
    last = messages[-1] if messages else None
    if last is not None and last.role is Role.ASSISTANT:
        if last.text != last.text.rstrip():
            raise ValidationError("messages", "final assistant content cannot end with trailing whitespace")
        messages = messages if last.text else messages[:-1]
    if not messages:
        raise ValidationError("messages", "at least one message is required")
    return messages


def _replaceable(messages: tuple[ChatMessage, ...]) -> Iterator[int]:
    """The places of answers that are whole: neither the one that goes on, nor parts that a template may join."""
    for number, message in enumerate(messages[:-1]):
        neighbours = (*messages[max(0, number - 1) : number], messages[number + 1])
        if message.role is Role.ASSISTANT and all(other.role is not Role.ASSISTANT for other in neighbours):
            yield number
