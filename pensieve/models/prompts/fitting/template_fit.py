"""What a chat template supports, and the form of a conversation in which it loses nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.core.dialects.dialect import Dialect
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.fitting.marked_conversation import MarkedConversation
from pensieve.models.prompts.fitting.search import CALL_FORMS, TOOL_CONVERSATIONS, fitting_form, wider_forms
from pensieve.models.prompts.forms import ConversationForm
from pensieve.models.prompts.options import PROBE_TOOL, TEMPLATE_ERRORS, PromptEnding, TemplateOptions
from pensieve.models.prompts.rendered import PromptWriter, TemplateSupport
from pensieve.models.prompts.template_renderer import TemplateRenderer

_MAX_EXTRA_REWRITES = 2
"""Rewrites to try beyond those of the fitting form, for conversations unlike the probes."""


class TemplateFit:
    """Probes the template on first use and remembers the results."""

    def __init__(self, template: TemplateRenderer, dialect: Dialect) -> None:
        self._template = template
        self._dialect = dialect
        self._forms: dict[bool, ConversationForm] = {}

    def writer(self, options: TemplateOptions, form: ConversationForm) -> PromptWriter:
        return PromptWriter(self._template, options, self._dialect, self.support, form)

    @cached_property
    def takes_system_prompt(self) -> bool:
        probe = (ChatMessage(Role.SYSTEM, "Be brief."), ChatMessage(Role.USER, "Hello."))
        return (
            self._template.has_template
            and self._losses_or_refusal(self._probe_writer(TemplateSupport.TOOLS), probe) == []
        )

    @cached_property
    def support(self) -> TemplateSupport:
        if not self._template.has_template:
            return TemplateSupport.TEXT
        if self._num_tool_mentions:
            return TemplateSupport.TOOLS
        return TemplateSupport.CALLS if any(map(self._takes_calls, CALL_FORMS)) else TemplateSupport.TEXT

    def forms_for(self, messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> Iterator[ConversationForm]:
        """Forms to try in order: the one that fits this template, then that one with more rewrites."""
        with_tools = bool(tools) or any(message.tool_calls or message.role is Role.TOOL for message in messages)
        if with_tools not in self._forms:
            writer = self._probe_writer(self.support, with_tools=with_tools)

            def num_lost(form: ConversationForm, conversation: Sequence[ChatMessage]) -> int | None:
                lost = self._losses_or_refusal(replace(writer, form=form), conversation)
                if lost == [] and conversation is TOOL_CONVERSATIONS[0]:
                    return int(self._shows_id_only_in_result(replace(writer, form=form)))
                return None if lost is None else len(lost)

            self._forms[with_tools] = fitting_form(num_lost, with_tools=with_tools)
        yield from wider_forms(self._forms[with_tools], _MAX_EXTRA_REWRITES)

    def losses(
        self, writer: PromptWriter, messages: Sequence[ChatMessage], literals: Literals, ending: PromptEnding
    ) -> list[str]:
        """Descriptions of what the template drops or repeats. `literals` hold the markers of spliced answers.

        Raises:
            one of TEMPLATE_ERRORS: the template refuses the conversation.
        """
        marked = MarkedConversation(
            messages, writer.options.tools, literals, max_tool_mentions=self._num_tool_mentions or 1
        )
        marked_writer = replace(writer, options=replace(writer.options, tools=marked.tools))
        return marked.losses(marked_writer.write(marked.messages, marked.literals, ending))

    def _takes_calls(self, form: ConversationForm) -> bool:
        """Whether the template writes a call and ends its turn once: some of R1's templates begin another turn."""
        writer = replace(self._probe_writer(TemplateSupport.CALLS), form=form)
        question, called, result = TOOL_CONVERSATIONS[0]
        if self._losses_or_refusal(writer, (question, called, result)) != []:
            return False
        literals = Literals()
        call = replace(called.tool_calls[0], arguments=json.dumps({"word": literals.marker()}, ensure_ascii=False))
        messages = (question, replace(called, tool_calls=(call,)), replace(result, text=literals.marker()))
        text = writer.write(messages, literals, PromptEnding.TURN_ENDS)
        argument, answer = literals.markers_in(text)
        between = text[text.index(argument) : text.index(answer)]
        return sum(map(between.count, self._template.end_tokens)) <= 1

    def _shows_id_only_in_result(self, writer: PromptWriter) -> bool:
        """Whether a result has an id that its call does not show: Kimi K2's template makes up the ids of calls."""
        *called, result = TOOL_CONVERSATIONS[0]
        call_id = str(result.tool_call_id)
        try:
            before, whole = (
                writer.write(turns, Literals(), PromptEnding.TURN_ENDS) for turns in (called, (*called, result))
            )
        except TEMPLATE_ERRORS:
            return False
        return call_id in whole and call_id not in before

    @cached_property
    def _num_tool_mentions(self) -> int:
        """How often the template writes a tool's description; 0 if it does not support tools."""
        question = (ChatMessage(Role.USER, "Hello."),)
        marked = MarkedConversation(question, (PROBE_TOOL,), Literals(), max_tool_mentions=None)
        writer = replace(self._probe_writer(TemplateSupport.TOOLS), options=TemplateOptions(marked.tools))
        try:
            text = writer.write(marked.messages, marked.literals, PromptEnding.ANSWER_OPENS)
        except TEMPLATE_ERRORS:
            return 0
        return 0 if marked.losses(text) else [*marked.literals.markers_in(text)].count(marked.tools[0].description)

    def _probe_writer(self, support: TemplateSupport, *, with_tools: bool = False) -> PromptWriter:
        return PromptWriter(
            self._template, TemplateOptions((PROBE_TOOL,) if with_tools else ()), self._dialect, support
        )

    def _losses_or_refusal(self, writer: PromptWriter, messages: Sequence[ChatMessage]) -> list[str] | None:
        try:
            return self.losses(writer, messages, Literals(), PromptEnding.ANSWER_OPENS)
        except TEMPLATE_ERRORS:
            return None
