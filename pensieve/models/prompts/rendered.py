"""A rendered conversation and the boundaries of its parts: tools, system text and turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.dialects.hermes import with_tools_as_text
from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.models.prompts.answer_openings import common_prefix_length
from pensieve.models.prompts.encoding.encoder import EncodedPrompt
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.forms import ConversationForm, without_spliced_calls
from pensieve.models.prompts.options import TEMPLATE_ERRORS, PromptEnding, TemplateOptions
from pensieve.models.prompts.template_renderer import TemplateRenderer

MAX_BREAKPOINTS = 4
"""The API's limit for one request. Each breakpoint costs a rendering. If there are more, the last ones count."""


class TemplateSupport(Enum):
    """What a template supports. The rest is written as text in the model's dialect."""

    TOOLS = "tools, calls and results"
    CALLS = "calls and results"
    """As DeepSeek's, where the caller writes the tools into the system text."""
    TEXT = "text only"


@dataclass(frozen=True, slots=True)
class PromptWriter:
    """Renders conversations in one form, with one template and its options."""

    template: TemplateRenderer
    options: TemplateOptions
    dialect: Dialect
    support: TemplateSupport = TemplateSupport.TOOLS
    form: ConversationForm = ConversationForm()  # noqa: RUF009 - frozen

    def write(self, messages: Sequence[ChatMessage], literals: Literals, ending: PromptEnding) -> str:
        """
        Raises:
            one of TEMPLATE_ERRORS: the template refuses the conversation.
        """
        options = replace(self.options, style=self.form.style)
        if self.support is not TemplateSupport.TOOLS:
            messages = self._with_tools_as_text(messages, literals)
            options = replace(options, tools=())
        return self.template.render(self.form.apply(messages, literals, self.dialect), literals, options, ending)

    def _with_tools_as_text(self, messages: Sequence[ChatMessage], literals: Literals) -> Sequence[ChatMessage]:
        if self.support is TemplateSupport.TEXT:
            return with_tools_as_text(without_spliced_calls(messages, literals), self.options.tools, self.dialect)
        num_head = 1 if messages and messages[0].role is Role.SYSTEM else 0
        return (*with_tools_as_text(messages[:num_head], self.options.tools, self.dialect), *messages[num_head:])


@dataclass(frozen=True, slots=True)
class RenderedConversation:
    """`text` is what `writer` made of `messages`."""

    messages: tuple[ChatMessage, ...]
    literals: Literals
    writer: PromptWriter
    ending: PromptEnding
    text: str
    _ends: dict[int, int | None] = field(default_factory=dict, init=False)

    @property
    def num_leading_system(self) -> int:
        roles = [message.role is Role.SYSTEM for message in self.messages]
        return roles.index(False) if False in roles else len(roles)

    @property
    def num_turns(self) -> int:
        """The number of complete turns: an answer to continue is not one."""
        return len(self.messages) - (self.ending is PromptEnding.ANSWER_CONTINUES)

    def end_of(self, num_messages: int) -> int | None:
        """The length of the text that does not change if the conversation ends after `num_messages`.

        None if the template refuses the shorter conversation.
        """
        if num_messages not in self._ends:
            self._ends[num_messages] = self._shared_length(self.messages[:num_messages])
        return self._ends[num_messages]

    @property
    def end_of_head(self) -> int | None:
        """The length of the text of tools and leading system messages."""
        num_messages = self.num_leading_system
        end = self.end_of(num_messages)
        if end is None:  # many templates require a user turn, so add one with another text
            other = ChatMessage(Role.USER, self.literals.end_marker)
            end = self._shared_length((*self.messages[:num_messages], other))
        return end

    def boundaries(self, encoded: EncodedPrompt) -> Iterator[Boundary]:
        """Boundaries in the order of the prompt. Several may be at the same token."""
        num_leading = self.num_leading_system
        ttl = max((message.cache_ttl_seconds or 0 for message in self.messages[:num_leading]), default=0)
        if num_leading or self.writer.options.tools:
            head = self.end_of_head
            yield from _boundary(encoded, head, BoundaryKind.SYSTEM)
            yield from _boundary(encoded, head if ttl else None, BoundaryKind.BREAKPOINT, ttl)
        marked = [
            (number + 1, message.cache_ttl_seconds)
            for number, message in enumerate(self.messages[: self.num_turns])
            if message.cache_ttl_seconds is not None and number >= num_leading
        ]
        for num_messages, ttl_seconds in marked[-MAX_BREAKPOINTS:]:
            yield from _boundary(encoded, self.end_of(num_messages), BoundaryKind.BREAKPOINT, ttl_seconds)
        yield from _boundary(encoded, self.end_of(self.num_turns), BoundaryKind.TURN)

    def part_at(self, encoded: EncodedPrompt, num_tokens: int) -> str:
        """The part of the prompt that contains the token at position `num_tokens`: see `ChatTemplate.locate`."""
        if not self._ends_after(encoded, num_tokens, self.end_of(self.num_turns)):
            return "end"
        num_leading = self.num_leading_system
        if (num_leading or self.writer.options.tools) and self._ends_after(encoded, num_tokens, self.end_of_head):
            return self._part_of_head(encoded, num_tokens)
        low, high = num_leading, self.num_turns - 1
        while low < high:
            middle = (low + high) // 2
            if self._ends_after(encoded, num_tokens, self.end_of(middle + 1)):
                high = middle
            else:
                low = middle + 1
        return f"messages.{low - num_leading}"

    def _part_of_head(self, encoded: EncodedPrompt, num_tokens: int) -> str:
        """Either "tools" or "system". Templates differ in which of them comes first, and a prompt may have only one."""
        other = self.literals.end_marker
        options = self.writer.options
        renamed = tuple(replace(tool, name=other, description="") for tool in options.tools)
        system = [replace(message, text=other) for message in self.messages[: self.num_leading_system]]
        rest = self.messages[self.num_leading_system :]
        tools_at = self._shared_length(self.messages, replace(self.writer, options=replace(options, tools=renamed)))
        system_at = self._shared_length((*system, *rest))
        if not options.tools or tools_at is None:
            return "system"
        if not system or system_at is None:
            return "tools"
        second_at = max(tools_at, system_at)
        is_first = num_tokens < encoded.num_tokens_within(second_at)
        return "tools" if is_first == (tools_at < system_at) else "system"

    def _ends_after(self, encoded: EncodedPrompt, num_tokens: int, end: int | None) -> bool:
        return end is not None and encoded.num_tokens_within(end) > num_tokens

    def _shared_length(self, messages: Sequence[ChatMessage], writer: PromptWriter | None = None) -> int | None:
        try:
            return common_prefix_length(
                self.text, (writer or self.writer).write(messages, self.literals, PromptEnding.TURN_ENDS)
            )
        except TEMPLATE_ERRORS:
            return None


def _boundary(
    encoded: EncodedPrompt, end: int | None, kind: BoundaryKind, ttl_seconds: int | None = None
) -> Iterator[Boundary]:
    num_tokens = encoded.num_tokens_within(end) if end is not None else 0
    if num_tokens:
        yield Boundary(num_tokens, kind, ttl_seconds)


def tools_at_head(tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """The tools at the head of the prompt. Deferred tools are listed where the conversation refers to them."""
    return tuple(tool for tool in tools if not tool.deferred)
