"""What one chat template has words for, and the form in which it takes everything."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.core.dialects.dialect import Dialect
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.fitting.carried import MarkedConversation
from pensieve.models.prompts.fitting.search import CALL_FORMS, TOOL_CONVERSATIONS, fitting_form, wider_forms
from pensieve.models.prompts.forms import Form
from pensieve.models.prompts.options import PROBE_TOOL, REFUSALS, Ending, Options
from pensieve.models.prompts.rendered import Way, Words
from pensieve.models.prompts.template_text import TemplateText

_NUM_MORE = 2
"""Rewrites that are tried beyond those of the form, where a conversation is unlike any that it was found with."""


class TemplateFit:
    """Found out at the first need, and then known."""

    def __init__(self, template: TemplateText, dialect: Dialect) -> None:
        self._template = template
        self._dialect = dialect
        self._forms: dict[bool, Form] = {}

    def way(self, options: Options, form: Form) -> Way:
        return Way(self._template, options, self._dialect, self.words, form)

    @cached_property
    def takes_system_prompt(self) -> bool:
        probe = (ChatMessage(Role.SYSTEM, "Be brief."), ChatMessage(Role.USER, "Hello."))
        return self._template.has_template and self._losses_or_refusal(self._probe_way(Words.TOOLS), probe) == []

    @cached_property
    def words(self) -> Words:
        if not self._template.has_template:
            return Words.TEXT
        if self._tool_times:
            return Words.TOOLS
        return Words.CALLS if any(map(self._takes_calls, CALL_FORMS)) else Words.TEXT

    def forms_for(self, messages: Sequence[ChatMessage], tools: Sequence[Tool]) -> Iterator[Form]:
        """The form that fits this template, and what else might help."""
        with_tools = bool(tools) or any(message.tool_calls or message.role is Role.TOOL for message in messages)
        if with_tools not in self._forms:
            way = self._probe_way(self.words, with_tools=with_tools)

            def num_lost(form: Form, conversation: Sequence[ChatMessage]) -> int | None:
                lost = self._losses_or_refusal(replace(way, form=form), conversation)
                if lost == [] and conversation is TOOL_CONVERSATIONS[0]:
                    return int(self._answers_an_unknown_id(replace(way, form=form)))
                return None if lost is None else len(lost)

            self._forms[with_tools] = fitting_form(num_lost, with_tools=with_tools)
        yield from wider_forms(self._forms[with_tools], _NUM_MORE)

    def losses(self, way: Way, messages: Sequence[ChatMessage], literals: Literals, ending: Ending) -> list[str]:
        """What the template loses of a conversation, in words. `literals` are those of its spliced answers.

        Raises:
            one of REFUSALS: the template does not take it.
        """
        marked = MarkedConversation(messages, way.options.tools, literals, tool_times=self._tool_times or 1)
        marked_way = replace(way, options=replace(way.options, tools=marked.tools))
        return marked.losses(marked_way.text(marked.messages, marked.literals, ending))

    def _takes_calls(self, form: Form) -> bool:
        """Whether a call comes through, and ends its turn once: some of R1's templates begin another after it."""
        way = replace(self._probe_way(Words.CALLS), form=form)
        asked, called, result = TOOL_CONVERSATIONS[0]
        if self._losses_or_refusal(way, (asked, called, result)) != []:
            return False
        literals = Literals()
        call = replace(called.tool_calls[0], arguments=json.dumps({"word": literals.mark()}, ensure_ascii=False))
        messages = (asked, replace(called, tool_calls=(call,)), replace(result, text=literals.mark()))
        text = way.text(messages, literals, Ending.TURN_ENDS)
        argument, answer = literals.marks_in(text)
        between = text[text.index(argument) : text.index(answer)]
        return sum(map(between.count, self._template.end_tokens)) <= 1

    def _answers_an_unknown_id(self, way: Way) -> bool:
        """Whether a result carries an id that its call did not show: Kimi K2 makes up the ids of calls."""
        *called, result = TOOL_CONVERSATIONS[0]
        call_id = str(result.tool_call_id)
        try:
            before, whole = (way.text(turns, Literals(), Ending.TURN_ENDS) for turns in (called, (*called, result)))
        except REFUSALS:
            return False
        return call_id in whole and call_id not in before

    @cached_property
    def _tool_times(self) -> int:
        """How often the template says what a tool does; 0 where it has no words for tools."""
        asked = (ChatMessage(Role.USER, "Hello."),)
        marked = MarkedConversation(asked, (PROBE_TOOL,), Literals(), tool_times=None)
        way = replace(self._probe_way(Words.TOOLS), options=Options(marked.tools))
        try:
            text = way.text(marked.messages, marked.literals, Ending.ANSWER_OPENS)
        except REFUSALS:
            return 0
        return 0 if marked.losses(text) else [*marked.literals.marks_in(text)].count(marked.tools[0].description)

    def _probe_way(self, words: Words, *, with_tools: bool = False) -> Way:
        return Way(self._template, Options((PROBE_TOOL,) if with_tools else ()), self._dialect, words)

    def _losses_or_refusal(self, way: Way, messages: Sequence[ChatMessage]) -> list[str] | None:
        try:
            return self.losses(way, messages, Literals(), Ending.ANSWER_OPENS)
        except REFUSALS:
            return None
