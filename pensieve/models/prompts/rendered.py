"""One conversation and the text that it became: where in that text its parts end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.dialects.hermes import with_tools_as_text
from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.models.prompts.answer_places import common_length
from pensieve.models.prompts.encoding.encoder import EncodedPrompt
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.forms import Form, without_spliced_calls
from pensieve.models.prompts.options import REFUSALS, Ending, Options
from pensieve.models.prompts.template_text import TemplateText

MAX_BREAKPOINTS = 4
"""As many as the API allows in one request. Each costs a rendering; of more, the last ones count."""


class Words(Enum):
    """What a template has words of its own for. The rest is written in the general form."""

    TOOLS = "tools, their calls and results"
    CALLS = "calls and results"
    """DeepSeek's, whose makers write the tools into the system text themselves."""
    TEXT = "text alone"


@dataclass(frozen=True, slots=True)
class Way:
    """How conversations are written for one template."""

    template: TemplateText
    options: Options
    dialect: Dialect
    words: Words = Words.TOOLS
    form: Form = Form()  # noqa: RUF009 - frozen

    def text(self, messages: Sequence[ChatMessage], literals: Literals, ending: Ending) -> str:
        """
        Raises:
            one of REFUSALS: the template does not take it.
        """
        options = replace(self.options, style=self.form.style)
        if self.words is not Words.TOOLS:
            messages = self._in_general_form(messages, literals)
            options = replace(options, tools=())
        return self.template.of(self.form.of(messages, literals, self.dialect), literals, options, ending)

    def _in_general_form(self, messages: Sequence[ChatMessage], literals: Literals) -> Sequence[ChatMessage]:
        if self.words is Words.TEXT:
            return with_tools_as_text(without_spliced_calls(messages, literals), self.options.tools, self.dialect)
        num_head = 1 if messages and messages[0].role is Role.SYSTEM else 0
        return (*with_tools_as_text(messages[:num_head], self.options.tools, self.dialect), *messages[num_head:])


@dataclass(frozen=True, slots=True)
class RenderedConversation:
    """`text` is the whole of `messages`, rendered in this `way`."""

    messages: tuple[ChatMessage, ...]
    literals: Literals
    way: Way
    ending: Ending
    text: str
    _ends: dict[int, int | None] = field(default_factory=dict, init=False)

    @property
    def num_leading_system(self) -> int:
        roles = [message.role is Role.SYSTEM for message in self.messages]
        return roles.index(False) if False in roles else len(roles)

    @property
    def num_turns(self) -> int:
        """Those that are at an end: an answer that goes on is not."""
        return len(self.messages) - (self.ending is Ending.ANSWER_GOES_ON)

    def end_of(self, num_messages: int) -> int | None:
        """The character at which the first messages end, as far as the text is what it would be without the rest.

        None where the template does not take them alone.
        """
        if num_messages not in self._ends:
            self._ends[num_messages] = self._shared(self.messages[:num_messages])
        return self._ends[num_messages]

    @property
    def end_of_head(self) -> int | None:
        """The character at which tools and system text end."""
        num_messages = self.num_leading_system
        end = self.end_of(num_messages)
        if end is None:  # many templates want a user, so here is one who says something else
            other = ChatMessage(Role.USER, self.literals.end_mark)
            end = self._shared((*self.messages[:num_messages], other))
        return end

    def boundaries(self, encoded: EncodedPrompt) -> Iterator[Boundary]:
        """In the order of the prompt, but for several at one place."""
        num_leading = self.num_leading_system
        ttl = max((message.cache_ttl_seconds or 0 for message in self.messages[:num_leading]), default=0)
        if num_leading or self.way.options.tools:
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
        """In which part of the prompt the token lies that has `num_tokens` before it."""
        if not self._ends_after(encoded, num_tokens, self.end_of(self.num_turns)):
            return "end"
        num_leading = self.num_leading_system
        if (num_leading or self.way.options.tools) and self._ends_after(encoded, num_tokens, self.end_of_head):
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
        """Tools before system text, or after it, or one of the two alone."""
        other = self.literals.end_mark
        options = self.way.options
        renamed = tuple(replace(tool, name=other, description="") for tool in options.tools)
        system = [replace(message, text=other) for message in self.messages[: self.num_leading_system]]
        rest = self.messages[self.num_leading_system :]
        tools_at = self._shared(self.messages, replace(self.way, options=replace(options, tools=renamed)))
        system_at = self._shared((*system, *rest))
        if not options.tools or tools_at is None:
            return "system"
        if not system or system_at is None:
            return "tools"
        second = max(tools_at, system_at)
        is_first = num_tokens < encoded.num_tokens_within(second)
        return "tools" if is_first == (tools_at < system_at) else "system"

    def _ends_after(self, encoded: EncodedPrompt, num_tokens: int, end: int | None) -> bool:
        return end is not None and encoded.num_tokens_within(end) > num_tokens

    def _shared(self, messages: Sequence[ChatMessage], way: Way | None = None) -> int | None:
        try:
            return common_length(self.text, (way or self.way).text(messages, self.literals, Ending.TURN_ENDS))
        except REFUSALS:
            return None


def _boundary(
    encoded: EncodedPrompt, end: int | None, kind: BoundaryKind, ttl_seconds: int | None = None
) -> Iterator[Boundary]:
    num_tokens = encoded.num_tokens_within(end) if end is not None else 0
    if num_tokens:
        yield Boundary(num_tokens, kind, ttl_seconds)


def tools_at_head(tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """Those at the head of the prompt: deferred ones are listed where the conversation refers to them."""
    return tuple(tool for tool in tools if not tool.deferred)
