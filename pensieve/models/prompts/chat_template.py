"""A conversation as the token ids that a model was taught to read.

The model's own template decides the form. This module adds five things: a conversation is brought into a form in which
everything in it comes through, an answer that has begun is continued, the text of a message stays text even where it
spells one of the model's control tokens, an answer that was generated here stands in the prompt as the tokens that it
was generated as, and a date that the template writes stays what it was when the conversation began.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from contracts.values.vocabulary import ChatMessage, Role, Thinking, Tool
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.errors import ValidationError
from pensieve.core.prefixes.boundary import Boundary
from pensieve.models.prompts.dates import ConversationDates
from pensieve.models.prompts.encoding.encoder import PromptEncoder
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.fitting.template_fit import TemplateFit
from pensieve.models.prompts.options import REFUSALS, Ending, Options
from pensieve.models.prompts.rendered import RenderedConversation, Way, Words, tools_at_head
from pensieve.models.prompts.spliced import Recall, Version, versions
from pensieve.models.prompts.template_text import TemplateText
from pensieve.models.prompts.turns import texts

log = logging.getLogger(__name__)

_TAIL_TOKENS: Final = 16
"""Enough for a mark that is no single token, and the line breaks behind it."""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """`boundaries` are in the order of the prompt. `starts_thinking`: it ends with thinking open, as some templates
    leave it, and the model goes on with it.
    """

    token_ids: list[int]
    boundaries: tuple[Boundary, ...] = ()
    starts_thinking: bool = False


@dataclass(frozen=True, slots=True)
class _Rendering:
    """`lost` names what does not come through."""

    lost: list[str]
    conversation: RenderedConversation


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
        self._fit = TemplateFit(TemplateText(tokenizer, has_template=has_template), dialect)
        self._encoder = PromptEncoder(tokenizer, has_template=has_template)
        self._warned: set[str] = set()

    def render(
        self,
        messages: tuple[ChatMessage, ...],
        tools: tuple[Tool, ...] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> RenderedPrompt:
        """The prompt, up to where the model's answer begins, or goes on if the last message is its own.

        Templates refuse some conversations, and drop parts of others. The form that a template needs is found out with
        small conversations, and every rendering is checked (`fitting`). A model without a template gets `User: …` and
        `Assistant: …` in paragraphs. Tools, calls and their results are given to a template that has words for them,
        and written in the general form for all others.

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

    @property
    def takes_system_prompt(self) -> bool:
        """Whether the template has a place of its own for a system message."""
        return self._fit.takes_system_prompt

    @property
    def takes_tools(self) -> bool:
        """Whether the template has words of its own for tools."""
        return self._fit.words is Words.TOOLS

    def _rendered(
        self, messages: tuple[ChatMessage, ...], tools: tuple[Tool, ...], thinking: Thinking
    ) -> RenderedConversation:
        """In the first form and version that loses nothing; else in the one that loses least."""
        messages, tools = _checked(messages), tools_at_head(tools)
        literals = Literals(texts(messages, tools), self._encoder.added_tokens)
        options = Options(tuple(map(literals.hidden_tool, tools)), thinking, self._dates.date_of(messages))
        hidden = tuple(map(literals.hidden_message, messages))
        choices = list(versions(messages, hidden, literals, self._recall))
        least: _Rendering | None = None
        refusal: Exception | None = None
        for form in self._fit.forms_for(messages, tools):
            for version in choices:
                try:
                    found = self._tried(self._fit.way(options, form), version, literals, least)
                except REFUSALS as error:
                    refusal = refusal or error
                    continue
                least = found or least
                if found is not None and not found.lost:
                    return found.conversation
        if least is None:
            raise ValidationError("messages", f"the model's chat template refuses this conversation: {refusal}")
        self._warn(least.lost)
        return least.conversation

    def _tried(self, way: Way, version: Version, literals: Literals, least: _Rendering | None) -> _Rendering | None:
        """The rendering, if it loses less than the least so far.

        Raises:
            one of REFUSALS: the template does not take it.
        """
        ending = Ending.ANSWER_GOES_ON if version[-1].role is Role.ASSISTANT else Ending.ANSWER_OPENS
        lost = self._fit.losses(way, version, literals, ending)
        if least is not None and len(lost) >= len(least.lost):
            return None
        text = way.text(version, literals, ending)
        return _Rendering(lost, RenderedConversation(version, literals, way, ending, text))

    def _warn(self, lost: Sequence[str]) -> None:
        """Once for each thing, since it is the template's fault and comes with every request."""
        new = sorted(set(lost) - self._warned)
        if new:
            self._warned.update(new)
            log.warning("the model's chat template leaves out or repeats parts of a conversation: %s", ", ".join(new))

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
