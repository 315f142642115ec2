"""A conversation as its model's own template writes it, with the openings of answers put back as they were (C1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import jinja2

from contracts.vocabulary import ChatMessage, Role, Thinking, Tool, ToolCall
from pensieve.core.dialects.dialect import tool_as_json
from pensieve.models.prompts.literals import Literals
from pensieve.models.prompts.turns import as_paragraphs, as_turn

REFUSALS: Final = (jinja2.TemplateError, ValueError, TypeError, KeyError, IndexError)
"""What a template raises: its own `raise_exception`, or a stumble over a role it does not expect."""


class Ending(Enum):
    ANSWER_OPENS = "the words after which the model answers"
    ANSWER_GOES_ON = "the last message, which is the model's own and not finished"
    TURN_ENDS = "the end of the last turn"


@dataclass(frozen=True, slots=True)
class Options:
    """What a template is given besides the conversation. No deferred tool is among the tools."""

    tools: tuple[Tool, ...] = ()
    thinking: Thinking = Thinking()  # noqa: RUF009 - frozen


@dataclass(frozen=True, slots=True)
class _Opening:
    """What stands between a turn and the answer to it: in a history, and where the model is to answer."""

    in_history: str
    for_answer: str

    @property
    def stem(self) -> str:
        """What both begin with."""
        return self.in_history[: common_length(self.in_history, self.for_answer)]


class TemplateText:
    """Writes for one tokenizer."""

    def __init__(self, tokenizer: Any, *, has_template: bool) -> None:
        self._tokenizer = tokenizer
        self.has_template = has_template
        self._openings: dict[tuple[bool, bool], _Opening | None] = {}

    def of(self, messages: Sequence[ChatMessage], literals: Literals, options: Options, ending: Ending) -> str:
        """The text. Where a message is the mark of a spliced answer, the words before it are those that the answer was
        generated after, and not those that the template has for a history.

        Raises:
            one of REFUSALS: the template does not take the conversation, or an answer has no place in it.
        """
        text = self._written(messages, literals, options, ending)
        answers = [
            (message.text, number > 0 and messages[number - 1].role is Role.TOOL)
            for number, message in enumerate(messages)
            if message.role is Role.ASSISTANT and literals.is_splice(message.text)
        ]
        parts: list[str] = []
        for mark, after_tool in answers:
            before, found, text = text.partition(mark)
            if not found:
                raise ValueError("it leaves out an answer")
            parts += (self._reopened(before, options.thinking, after_tool=after_tool), mark)
        if any(mark in text for mark, _ in answers):
            raise ValueError("it says an answer twice")
        return "".join([*parts, text])

    def _written(self, messages: Sequence[ChatMessage], literals: Literals, options: Options, ending: Ending) -> str:
        opens_answer = ending is Ending.ANSWER_OPENS
        if not self.has_template:
            return as_paragraphs(messages, literals, opens_answer=opens_answer)
        turns = [as_turn(message, literals) for message in messages]
        if ending is Ending.ANSWER_GOES_ON:
            turns[-1]["content"] = literals.end_mark
        rendered = str(
            self._tokenizer.apply_chat_template(
                turns,
                tokenize=False,
                add_generation_prompt=opens_answer,
                enable_thinking=options.thinking.enabled,  # templates that know no thinking ignore it
                tools=[literals.hide_in(tool_as_json(tool)) for tool in options.tools] or None,
            )
        )
        if ending is not Ending.ANSWER_GOES_ON:
            return rendered
        start, mark, _ = rendered.partition(literals.end_mark)
        if not mark:
            raise ValueError("it leaves out the answer that is to be continued")
        return start + literals.hide(messages[-1].text)

    def _reopened(self, before: str, thinking: Thinking, *, after_tool: bool) -> str:
        """What stands before an answer, from the answer before it on, with the words that it was generated after."""
        opening = self._opening(thinking, after_tool=after_tool)
        if opening is None:
            raise ValueError("it has no place for an answer as it was generated")
        if before.endswith(opening.in_history):
            return before.removesuffix(opening.in_history) + opening.for_answer
        # Some templates write more before the answers of the turn that runs: an empty thought, for one.
        start, stem, _ = before.rpartition(opening.stem) if opening.stem else ("", "", "")
        if not stem:
            raise ValueError("it opens this answer unlike any other")
        return start + opening.for_answer

    def _opening(self, thinking: Thinking, *, after_tool: bool) -> _Opening | None:
        """Found once for each way to ask, by two renderings of a conversation that is made up for it."""
        key = (thinking.enabled, after_tool)
        if key not in self._openings:
            try:
                self._openings[key] = self._probed(Options((), thinking), after_tool=after_tool)
            except REFUSALS:
                self._openings[key] = None
        return self._openings[key]

    def _probed(self, options: Options, *, after_tool: bool) -> _Opening | None:
        literals = Literals((), None)
        answer, asked = literals.splice(()), literals.end_mark
        messages = [ChatMessage(Role.USER, asked)]
        if after_tool:
            call = ToolCall("call00000", "look", "{}")
            messages = [
                ChatMessage(Role.USER, "Look."),
                ChatMessage(Role.ASSISTANT, "", tool_calls=(call,)),
                ChatMessage(Role.TOOL, asked, tool_call_id=call.id),
            ]
        opened = self._written(messages, literals, options, Ending.ANSWER_OPENS)
        later = [*messages, ChatMessage(Role.ASSISTANT, answer), ChatMessage(Role.USER, "Go on.")]
        history, found, _ = self._written(later, literals, options, Ending.TURN_ENDS).partition(answer)
        if not found or asked not in opened or asked not in history:
            return None
        return _Opening(history.rpartition(asked)[2], opened.rpartition(asked)[2])


def common_length(one: str, other: str) -> int:
    """The number of characters that two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
