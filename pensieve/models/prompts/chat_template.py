"""Renders a conversation to token ids with the model's own chat template.

Beyond the template, it ensures that:

- nothing is lost: the conversation is rewritten into a form in which the template drops, repeats and refuses nothing;
- an answer that the client has begun is continued;
- text stays text, even if it spells one of the model's control tokens;
- answers that were generated here keep the tokens that were generated;
- a date that the template writes stays the date on which the conversation began.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, product
from typing import Any, Final

from contracts.values.vocabulary import ChatMessage, Prompt, Role, Thinking, Tool
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.errors import ValidationError
from pensieve.core.prefixes.boundary import Boundary
from pensieve.models.prompts.dates import ConversationDates
from pensieve.models.prompts.encoding.abandoned_work import check_wanted
from pensieve.models.prompts.encoding.encoder import PromptEncoder
from pensieve.models.prompts.encoding.encoding_cache import MAX_BYTES
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.encoding.token_estimate import PromptText, tokens_beyond
from pensieve.models.prompts.fitting.template_fit import TemplateFit
from pensieve.models.prompts.options import TEMPLATE_ERRORS, PromptEnding, TemplateOptions
from pensieve.models.prompts.rendered import PromptWriter, RenderedConversation, TemplateSupport, tools_at_head
from pensieve.models.prompts.spliced import Recall, Version, versions
from pensieve.models.prompts.template_renderer import TemplateRenderer
from pensieve.models.prompts.turns import client_texts, texts_in_prompt
from pensieve.models.templates.budget import TemplateLimitError, render_budget

log = logging.getLogger(__name__)

_TAIL_TOKENS: Final = 16
"""Enough for a mark of several tokens and the line breaks after it."""

_MAX_RENDERED_PARTS: Final = 100_000
"""Turns and calls, in all attempts to render a conversation. They take a few seconds."""
_MIN_ATTEMPTS: Final = 8


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """`boundaries` are in prompt order. If `starts_thinking`, the prompt ends inside thinking, which goes on."""

    token_ids: list[int]
    boundaries: tuple[Boundary, ...] = ()
    starts_thinking: bool = False


@dataclass(frozen=True, slots=True)
class _Rendering:
    """`lost` names what the template dropped or repeated."""

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
        max_cached_bytes: int = 2 * MAX_BYTES,
    ) -> None:
        """`tokenizer` is a ModelTokenizer or a Transformers tokenizer. `dialect` is its model's. Token ids
        of texts are cached, up to `max_cached_bytes`.
        """
        self._tokenizer = tokenizer
        self._dialect = dialect
        self._recall = recall
        self._dates = ConversationDates(clock)
        self._has_template = has_template = bool(
            getattr(tokenizer, "has_chat_template", None) or tokenizer.chat_template
        )
        self._fit = TemplateFit(TemplateRenderer(tokenizer, has_template=has_template), dialect)
        self._encoder = PromptEncoder(tokenizer, has_template=has_template, max_cached_bytes=max_cached_bytes)
        self._warned: set[str] = set()
        self._namespace = ""

    def of(self, namespace: str, recall: Recall) -> ChatTemplate:
        """The same template for the conversations of a namespace, with answers to recall and dates of their own."""
        template = copy(self)
        template._namespace, template._recall = namespace, recall
        return template

    def with_arguments(self, arguments: Mapping[str, Any]) -> ChatTemplate:
        """The same template with variables that override those of every request.

        Raises:
            ValueError: the template does not read one of them.
        """
        template = copy(self)
        renderer = TemplateRenderer(self._tokenizer, has_template=self._has_template, arguments=arguments)
        template._fit = TemplateFit(renderer, self._dialect)
        return template

    def render(
        self,
        messages: tuple[ChatMessage, ...],
        tools: tuple[Tool, ...] = (),
        thinking: Thinking = Thinking(),  # noqa: B008 - frozen
    ) -> RenderedPrompt:
        """Render up to where the model's answer begins, or continues if the last message is the assistant's.

        Templates refuse some conversations and drop parts of others. `fitting` probes each template with small
        conversations for the form that it needs, and checks every rendering. Tools, calls and results go to the
        template if it supports them, and are otherwise written as text in the model's dialect. A model without a
        template gets paragraphs of `User: …` and `Assistant: …`.

        Raises:
            ValidationError: there are no messages, an answer to continue ends in whitespace, the template refuses the
                conversation in every form, or it exceeds a limit.
        """
        with _limited(messages):
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
        """The part of the prompt that contains the token at position `num_tokens`.

        It is "tools", "system", "messages.3" (counted from 0, after the leading system messages), or "end" for what
        opens the model's answer.

        Raises:
            ValidationError: as `render`.
        """
        with _limited(messages):
            conversation = self._rendered(messages, tools, thinking)
            encoded = self._encoder.encode(conversation.literals, conversation.text)
            return conversation.part_at(encoded, num_tokens)

    def tokens_beyond(self, max_tokens: int, prompt: Prompt) -> int | None:
        """An estimate of a prompt's tokens if they are certainly several times `max_tokens`, else None.

        It takes no longer than tokenising that many, however long the prompt is.
        """
        if prompt.is_raw:
            texts = [PromptText(message.text) for message in prompt.messages]
        else:
            think_end = self._dialect.marks.plain(self._dialect.think_end or "").strip()
            texts = texts_in_prompt(prompt.messages, tools_at_head(prompt.tools), think_end)
        return tokens_beyond(max_tokens, texts, self._encoder.count)

    def encode_raw(self, text: str) -> list[int]:
        """The token ids of a raw prompt, at least one.

        Control tokens are recognised, because clients that apply a template themselves rely on them. If such a client
        has written the first token, it is not added again.

        Raises:
            ValidationError: the prompt is empty.
        """
        token_ids = [int(token_id) for token_id in self._tokenizer.encode(text)]
        if token_ids[:2] == self._encoder.first_tokens() * 2:
            token_ids = token_ids[1:]
        if not token_ids:
            raise ValidationError("prompt", "must not be empty")
        return token_ids

    @property
    def takes_system_prompt(self) -> bool:
        """Whether the template supports system messages.

        Raises:
            TemplateLimitError: it exceeds a limit even in a short conversation.
        """
        return self._fit.takes_system_prompt

    @property
    def takes_tools(self) -> bool:
        """Whether the template supports tools."""
        return self._fit.support is TemplateSupport.TOOLS

    def _rendered(
        self, messages: tuple[ChatMessage, ...], tools: tuple[Tool, ...], thinking: Thinking
    ) -> RenderedConversation:
        """Render in the first form and version that loses nothing, or else in the one that loses least."""
        messages, tools = _checked(messages), tools_at_head(tools)
        literals = Literals(client_texts(messages, tools), self._encoder.added_tokens)
        options = TemplateOptions(
            tuple(map(literals.escaped_tool, tools)), thinking, self._dates.date_of(messages, self._namespace)
        )
        escaped = tuple(map(literals.escaped_message, messages))
        candidates = list(versions(messages, escaped, literals, self._recall))
        best: _Rendering | None = None
        refusal: Exception | None = None
        attempts = product(self._fit.forms_for(messages, tools), candidates)
        for form, version in islice(attempts, _max_attempts(messages)):
            try:
                found = self._try(self._fit.writer(options, form), version, literals, best)
            except TEMPLATE_ERRORS as error:
                refusal = refusal or error
                continue
            best = found or best
            if found is not None and not found.lost:
                return found.conversation
        if best is None:
            raise ValidationError("messages", f"the model's chat template refuses this conversation: {refusal}")
        self._warn(best.lost)
        return best.conversation

    def _try(
        self, writer: PromptWriter, version: Version, literals: Literals, best: _Rendering | None
    ) -> _Rendering | None:
        """The rendering, or None if it loses no less than the best so far.

        Raises:
            one of TEMPLATE_ERRORS: the template refuses the conversation.
        """
        check_wanted()
        ending = PromptEnding.ANSWER_CONTINUES if version[-1].role is Role.ASSISTANT else PromptEnding.ANSWER_OPENS
        lost = self._fit.losses(writer, version, literals, ending)
        if best is not None and len(lost) >= len(best.lost):
            return None
        text = writer.write(version, literals, ending)
        return _Rendering(lost, RenderedConversation(version, literals, writer, ending, text))

    def _warn(self, lost: Sequence[str]) -> None:
        """Warn once about each loss: it recurs with every request, since it is the template's."""
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


@contextmanager
def _limited(messages: Sequence[ChatMessage]) -> Iterator[None]:
    """One budget for all renderings of a request.

    Raises:
        ValidationError: the template exceeds it.
    """
    try:
        with render_budget(len(messages)):
            yield
    except TemplateLimitError as error:
        raise ValidationError("messages", f"the model's chat template {error} for this conversation") from error


def _max_attempts(messages: Sequence[ChatMessage]) -> int:
    """Each attempt renders the whole conversation: there are fewer for one of thousands of turns."""
    num_parts = sum(1 + len(message.tool_calls) for message in messages)
    return max(_MIN_ATTEMPTS, _MAX_RENDERED_PARTS // num_parts)


def _checked(messages: tuple[ChatMessage, ...]) -> tuple[ChatMessage, ...]:
    """The messages, without an empty answer to continue at the end.

    Raises:
        ValidationError: there are no messages, or an answer to continue ends in whitespace.
    """
    last = messages[-1] if messages else None
    if last is not None and last.role is Role.ASSISTANT:
        if last.text != last.text.rstrip():
            raise ValidationError("messages", "final assistant content cannot end with trailing whitespace")
        messages = messages if last.text else messages[:-1]
    if not messages:
        raise ValidationError("messages", "at least one message is required")
    return messages
