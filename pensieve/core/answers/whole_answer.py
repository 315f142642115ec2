"""What the events of one generation add up to."""

from __future__ import annotations

from contracts.values.generation import (
    GenerationEvent,
    TextGenerated,
    ThinkingGenerated,
    ToolArgumentsGenerated,
    ToolCallStarted,
)
from contracts.values.vocabulary import ToolCall
from pensieve.core.answers.growing_text import GrowingText


class WholeAnswer:
    """Adding an event takes constant time."""

    def __init__(self) -> None:
        self._text = GrowingText()
        self._thinking = GrowingText()
        self._calls: list[tuple[str, str, GrowingText]] = []

    def add(self, event: GenerationEvent) -> None:
        match event:
            case TextGenerated(text):
                self._text.add(text)
            case ThinkingGenerated(text):
                self._thinking.add(text)
            case ToolCallStarted(call_id, name):
                self._calls.append((call_id, name, GrowingText()))
            case ToolArgumentsGenerated(json):
                self._calls[-1][2].add(json)
            case _:
                pass

    @property
    def text(self) -> str:
        return str(self._text)

    @property
    def thinking(self) -> str:
        return str(self._thinking)

    @property
    def calls(self) -> tuple[ToolCall, ...]:
        return tuple(ToolCall(call_id, name, str(arguments)) for call_id, name, arguments in self._calls)
