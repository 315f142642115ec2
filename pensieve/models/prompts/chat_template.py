"""A conversation as the token ids that a model was taught to read (design: a request's way, 2).

The model's own template decides the form. This module adds five things: a conversation is brought into a form in which
everything in it comes through, an answer that has begun is continued, the text of a message stays text even where it
spells one of the model's control tokens, an answer that was generated here stands in the prompt as the tokens that it
was generated as, and a date that the template writes stays what it was when the conversation began.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from contracts.vocabulary import ChatMessage, Role, Thinking, Tool
from pensieve.core.boundary import Boundary
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.errors import ValidationError
from pensieve.models.prompts.carried import MarkedConversation
from pensieve.models.prompts.dates import ConversationDates
from pensieve.models.prompts.encoding.encoder import PromptEncoder
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.fitting import CALL_FORMS, TOOL_CONVERSATIONS, fitting_form, wider_forms
from pensieve.models.prompts.forms import Form, spliced_calls
from pensieve.models.prompts.options import PROBE_TOOL, REFUSALS, Ending, Options
from pensieve.models.prompts.rendered import RenderedConversation, Way, Words, tools_told
from pensieve.models.prompts.template_text import TemplateText
from pensieve.models.prompts.turns import texts

log = logging.getLogger(__name__)

_TAIL_TOKENS: Final = 16
"""Enough for a mark that is no single token, and the line breaks behind it."""

Version = tuple[ChatMessage, ...]

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

    def __init__(
        self,
        tokenizer: Any,
        dialect: Dialect = Dialect(),  # noqa: B008 - frozen
        recall: Recall | None = None,
        *,
        clock: Callable[[], datetime] = datetime.now,
    ) -> None:
        """`tokenizer` is mlx-lm's TokenizerWrapper, or a Transformers tokenizer; `dialect` is its model's."""
        self._tokenizer = tokenizer
        self._dialect = dialect
        self._recall = recall
        self._dates = ConversationDates(clock)
        has_template = bool(getattr(tokenizer, "has_chat_template", None) or tokenizer.chat_template)
        self._template = TemplateText(tokenizer, has_template=has_template)
        self._encoder = PromptEncoder(tokenizer, has_template=has_template)
        self._forms: dict[bool, Form] = {}
        self._warned: set[str] = set()

    def render(
        self,
        messages: tuple[ChatMessage, ...],
        tools: tuple[Tool, ...] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> RenderedPrompt:
        """The prompt, up to where the model's answer begins, or goes on if the last message is its own.

        Templates refuse some conversations, and drop parts of others. Which form a template needs for everything to
        come through is found out with small conversations, and looked after in every rendering (`forms`, `fitting`,
        `carried`). A model without a template gets `User: …` and `Assistant: …` in paragraphs. Tools, calls and their
        results are given to a template that knows them, and told to all others in the general form.

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
        return self._template.has_template and self._losses(self._way(()), probe) == []

    @property
    def takes_tools(self) -> bool:
        """Whether the template has words of its own for tools."""
        return self._words is Words.TOOLS

    @cached_property
    def _words(self) -> Words:
        if not self._template.has_template:
            return Words.TEXT
        if self._tool_times:
            return Words.TOOLS
        asked, called, result = TOOL_CONVERSATIONS[0]
        ways = (replace(self._way((), Words.CALLS), form=Form().with_rewrites(*added)) for added in CALL_FORMS)
        takes_calls = any(self._losses(way, (asked, called, result)) == [] for way in ways)
        return Words.CALLS if takes_calls else Words.TEXT

    @cached_property
    def _tool_times(self) -> int:
        """How often the template says what a tool does."""
        asked = (ChatMessage(Role.USER, "Hello."),)
        marked = MarkedConversation(asked, (PROBE_TOOL,), Literals(), tool_times=None)
        try:
            text = self._way(marked.tools).text(marked.messages, marked.literals, Ending.ANSWER_OPENS)
        except REFUSALS:
            return 0
        return 0 if marked.losses(text) else [*marked.literals.marks_in(text)].count(marked.tools[0].description)

    def _way(self, tools: tuple[Tool, ...], words: Words = Words.TOOLS, options: Options | None = None) -> Way:
        return Way(self._template, replace(options or Options(), tools=tools), self._dialect, words)

    def _rendered(
        self, messages: tuple[ChatMessage, ...], tools: tuple[Tool, ...], thinking: Thinking
    ) -> RenderedConversation:
        messages = _checked(messages)
        ending = Ending.ANSWER_GOES_ON if messages[-1].role is Role.ASSISTANT else Ending.ANSWER_OPENS
        tools = tools_told(tools)
        literals = Literals(texts(messages, tools), self._encoder.added_tokens)
        options = Options(thinking=thinking, date=self._dates.date_of(messages))
        hidden_tools = tuple(map(literals.hidden_tool, tools))
        way = self._way(hidden_tools, self._words, options)
        hidden = tuple(map(literals.hidden_message, messages))
        versions = list(self._versions(messages, hidden, literals))
        least: tuple[list[str], RenderedConversation] | None = None
        refusal: Exception | None = None
        for form in self._forms_for(messages, tools):
            said = replace(way, form=form)
            for version in versions:
                try:
                    lost = self._losses_of(said, version, literals, ending)
                    if least is not None and len(lost) >= len(least[0]):
                        continue
                    text = said.text(version, literals, ending)
                except REFUSALS as error:
                    refusal = refusal or error
                    continue
                least = lost, RenderedConversation(version, literals, said, ending, text)
                if not lost:
                    return least[1]
        if least is None:
            raise ValidationError("messages", f"the model's chat template refuses this conversation: {refusal}")
        self._warn(least[0])
        return least[1]

    def _forms_for(self, messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> Iterator[Form]:
        """The form that fits this template, and what else might help."""
        with_tools = bool(tools) or any(message.tool_calls or message.role is Role.TOOL for message in messages)
        if with_tools not in self._forms:
            way = self._way((PROBE_TOOL,) if with_tools else (), self._words)

            def num_lost(form: Form, conversation: Sequence[ChatMessage]) -> int | None:
                lost = self._losses(replace(way, form=form), conversation)
                return None if lost is None else len(lost)

            self._forms[with_tools] = fitting_form(num_lost, with_tools=with_tools)
        yield from wider_forms(self._forms[with_tools], 2)

    def _losses(self, way: Way, messages: Sequence[ChatMessage]) -> list[str] | None:
        """What the template loses of a conversation that has no spliced answers; None where it refuses it."""
        try:
            return self._losses_of(way, messages, Literals(), Ending.ANSWER_OPENS)
        except REFUSALS:
            return None

    def _losses_of(self, way: Way, messages: Sequence[ChatMessage], literals: Literals, ending: Ending) -> list[str]:
        marked = MarkedConversation(messages, way.options.tools, literals, tool_times=self._tool_times or 1)
        marked_way = replace(way, options=replace(way.options, tools=marked.tools))
        return marked.losses(marked_way.text(marked.messages, marked.literals, ending))

    def _warn(self, lost: Sequence[str]) -> None:
        """Once for each thing, since it is the template's fault and comes with every request."""
        new = sorted(set(lost) - self._warned)
        if new:
            self._warned.update(new)
            log.warning("the model's chat template leaves out or repeats parts of a conversation: %s", ", ".join(new))

    def _versions(
        self, messages: tuple[ChatMessage, ...], hidden: tuple[ChatMessage, ...], literals: Literals
    ) -> Iterator[Version]:
        """The conversation with its answers as they were generated, their calls beside them or not, then with those
        alone that call nothing, then as it was sent.
        """
        marks = {
            number: literals.splice(token_ids)
            for number in _replaceable(messages)
            if (token_ids := self._recalled(messages, number))
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

    def _recalled(self, messages: tuple[ChatMessage, ...], number: int) -> Sequence[int] | None:
        before = messages[number - 1] if number else None
        return self._recall(messages[number], before) if self._recall is not None else None

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


def _spliced(message: ChatMessage, mark: str, _literals: Literals) -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, mark, cache_ttl_seconds=message.cache_ttl_seconds)


def _spliced_before_calls(message: ChatMessage, mark: str, literals: Literals) -> ChatMessage:
    spliced = _spliced(message, mark, literals)
    return replace(spliced, tool_calls=spliced_calls(message.tool_calls, mark, literals))


def _spliced_as_calls(message: ChatMessage, mark: str, literals: Literals) -> ChatMessage:
    """For templates that write text behind the calls, or not at all."""
    spliced = _spliced_before_calls(message, mark, literals)
    return replace(spliced, text="") if spliced.tool_calls else spliced
