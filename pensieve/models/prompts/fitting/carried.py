"""Whether everything of a conversation comes through a template, exactly once.

The conversation is rendered a second time with a short mark in the place of each text. What a template does depends on
roles, on calls and on what is empty, and hardly ever on what a text says, so the marks go where the texts go.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from contracts.values.vocabulary import ChatMessage, Role, Tool
from pensieve.models.prompts.encoding.literals import Literals, changed_json
from pensieve.models.prompts.forms import spliced_calls

_TEXTS: Final = {
    Role.SYSTEM: "system text",
    Role.USER: "text of the user",
    Role.ASSISTANT: "text of the assistant",
    Role.TOOL: "a tool's result",
}


@dataclass(frozen=True, slots=True)
class _Expected:
    what: str
    min_times: int = 1
    max_times: int | None = 1


class MarkedConversation:
    """A conversation of marks, of the same shape as one of texts."""

    def __init__(
        self, messages: Sequence[ChatMessage], tools: Sequence[Tool], literals: Literals, *, tool_times: int | None = 1
    ) -> None:
        """`literals` are those that made the splices in `messages`. `tool_times` is how often a template says at most
        what a tool does: some say it twice, and some again with every system message.
        """
        self._tool_times = tool_times
        self.literals = Literals()
        self._expected: dict[str, _Expected] = {}
        self._texts: list[str] = []
        self._names: dict[str, str] = {}
        self._objects: list[str] = []
        self._original = literals
        self.tools = tuple(self._marked_tool(tool) for tool in tools)
        self.messages = tuple(self._marked(message) for message in messages)

    def losses(self, rendered: str) -> list[str]:
        """What came out more often or less often than it should, in words; one entry for each."""
        marks = list(self.literals.marks_in(rendered))
        times = Counter(marks)
        lost = [
            expected.what
            for mark, expected in self._expected.items()
            if times[mark] < expected.min_times or (expected.max_times is not None and times[mark] > expected.max_times)
        ]
        if any(shown in rendered for shown in self._objects):
            lost.append("arguments in JSON")
        places = {mark: place for place, mark in enumerate(marks)}
        order = [places[mark] for mark in self._texts if mark in places]
        if not lost and order != sorted(order):
            lost.append("the order of messages")
        return lost

    def _mark(self, text: str, expected: _Expected) -> str:
        if not text.strip():
            return text
        mark = self.literals.mark()
        self._expected[mark] = expected
        return mark

    def _name(self, name: str) -> str:
        """At least once for the tool and for each of its calls; results may name it as well."""
        if name not in self._names:
            self._names[name] = self._mark(name, _Expected("the name of a tool", 0, None))
        mark = self._names[name]
        if mark in self._expected:
            self._expected[mark] = replace(self._expected[mark], min_times=self._expected[mark].min_times + 1)
        return mark

    def _marked_tool(self, tool: Tool) -> Tool:
        description = self._mark(tool.description, _Expected("the description of a tool", max_times=self._tool_times))
        return replace(tool, name=self._name(tool.name), description=description)

    def _marked(self, message: ChatMessage) -> ChatMessage:
        if self._original.answer_in(message) is not None:
            mark = self.literals.splice(())
            calls = [replace(call, name=self._names.get(call.name, call.name)) for call in message.tool_calls]
            text = mark if message.text else ""
            return replace(message, text=text, tool_calls=spliced_calls(calls, mark, self.literals))
        calls = [
            replace(call, name=self._name(call.name), arguments=self._marked_arguments(call.arguments))
            for call in message.tool_calls
        ]
        text = self._mark(message.text, _Expected(_TEXTS[message.role]))
        self._texts.append(text)
        return replace(
            message,
            text=text,
            thinking=self._mark(message.thinking, _Expected("earlier thinking", min_times=0)),
            tool_calls=tuple(calls),
        )

    def _marked_arguments(self, arguments: str) -> str:
        keys = set(_keys(json.loads(arguments)))
        expected = _Expected("the arguments of a call")
        marked = changed_json(arguments, lambda text: text if text in keys else self._mark(text, expected))
        value = json.loads(marked)
        if value:
            self._objects += [repr(value), json.dumps(marked), json.dumps(marked, ensure_ascii=False)]
        return marked


def _keys(value: object) -> Iterable[str]:
    match value:
        case dict():
            for key, part in value.items():
                yield key
                yield from _keys(part)
        case list():
            for part in value:
                yield from _keys(part)
