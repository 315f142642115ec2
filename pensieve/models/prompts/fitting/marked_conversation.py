"""Checks that a template writes each part of a conversation exactly once.

The conversation is rendered a second time with a short marker in place of each text. Templates look at roles, calls and
empty fields, and hardly ever at the texts themselves, so a marker ends up where its text does.
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

_MAX_WITHOUT_MARKER: Final = 64
"""Arguments without any text that are looked for. What a template does with one call, it does with all."""


@dataclass(frozen=True, slots=True)
class _Expectation:
    description: str
    min_times: int = 1
    max_times: int | None = 1


class MarkedConversation:
    """A conversation of the same shape, with a marker in place of each text."""

    def __init__(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[Tool],
        literals: Literals,
        *,
        max_tool_mentions: int | None = 1,
    ) -> None:
        """`literals` made the splices in `messages`. `max_tool_mentions` limits how often a tool's description may
        occur, since some templates write it twice, and some again with each system message. None is unlimited.
        """
        self._max_tool_mentions = max_tool_mentions
        self.literals = Literals()
        self._expected: dict[str, _Expectation] = {}
        self._texts: list[str] = []
        self._names: dict[str, str] = {}
        self._unparsed: dict[str, list[tuple[int, str]]] = {}
        """By the first marker of a text in them, with its offset."""
        self._unparsed_without_marker: set[str] = set()
        self._original = literals
        self.tools = tuple(self._marked_tool(tool) for tool in tools)
        self.messages = tuple(self._marked(message) for message in messages)

    def losses(self, rendered: str) -> list[str]:
        """A description of each part that occurs too rarely or too often in the rendered text."""
        markers = list(self.literals.markers_in(rendered))
        counts = Counter(markers)
        lost = [
            expected.description
            for marker, expected in self._expected.items()
            if counts[marker] < expected.min_times
            or (expected.max_times is not None and counts[marker] > expected.max_times)
        ]
        if self._has_unparsed(rendered):
            lost.append("arguments in JSON")
        positions = {marker: position for position, marker in enumerate(markers)}
        order = [positions[marker] for marker in self._texts if marker in positions]
        if not lost and order != sorted(order):
            lost.append("the order of messages")
        return lost

    def _has_unparsed(self, rendered: str) -> bool:
        """Whether the arguments of a call are written as the JSON text in another text. Each is looked for where its
        first marker of a text is: in a long conversation, a search for all of them would take minutes.
        """
        if any(text in rendered for text in self._unparsed_without_marker):
            return True
        return any(
            rendered.startswith(text, position - offset)
            for position, marker in self.literals.placed_markers_in(rendered)
            for offset, text in self._unparsed.get(marker, ())
            if position >= offset
        )

    def _note_unparsed(self, text: str) -> None:
        own = (placed for placed in self.literals.placed_markers_in(text) if placed[1] in self._expected)
        first = next(own, None)  # others are gaps in keys, which all calls may have
        if first is not None:
            self._unparsed.setdefault(first[1], []).append((first[0], text))
        elif len(self._unparsed_without_marker) < _MAX_WITHOUT_MARKER:
            self._unparsed_without_marker.add(text)

    def _marker_for(self, text: str, expected: _Expectation) -> str:
        if not text.strip():
            return text
        marker = self.literals.marker()
        self._expected[marker] = expected
        return marker

    def _marked_name(self, name: str) -> str:
        """Expected once for the tool and once for each of its calls. Results may repeat it."""
        if name not in self._names:
            self._names[name] = self._marker_for(name, _Expectation("the name of a tool", 0, None))
        marker = self._names[name]
        if marker in self._expected:
            self._expected[marker] = replace(self._expected[marker], min_times=self._expected[marker].min_times + 1)
        return marker

    def _marked_tool(self, tool: Tool) -> Tool:
        description = self._marker_for(
            tool.description, _Expectation("the description of a tool", max_times=self._max_tool_mentions)
        )
        return replace(tool, name=self._marked_name(tool.name), description=description)

    def _marked(self, message: ChatMessage) -> ChatMessage:
        if self._original.answer_marker(message) is not None:
            marker = self.literals.splice(())
            calls = [replace(call, name=self._names.get(call.name, call.name)) for call in message.tool_calls]
            text = marker if message.text else ""
            return replace(message, text=text, tool_calls=spliced_calls(calls, marker, self.literals))
        calls = [
            replace(call, name=self._marked_name(call.name), arguments=self._marked_arguments(call.arguments))
            for call in message.tool_calls
        ]
        text = self._marker_for(message.text, _Expectation(_TEXTS[message.role]))
        self._texts.append(text)
        return replace(
            message,
            text=text,
            thinking=self._marker_for(message.thinking, _Expectation("earlier thinking", min_times=0)),
            tool_calls=tuple(calls),
        )

    def _marked_arguments(self, arguments: str) -> str:
        keys = set(_keys(json.loads(arguments)))
        expected = _Expectation("the arguments of a call")
        marked = changed_json(arguments, lambda text: text if text in keys else self._marker_for(text, expected))
        value = json.loads(marked)
        if value:
            for text in (repr(value), json.dumps(marked), json.dumps(marked, ensure_ascii=False)):
                self._note_unparsed(text)
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
