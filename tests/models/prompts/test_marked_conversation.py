"""The check that a template loses nothing takes as long as the conversation is, not the square of it."""

from __future__ import annotations

import json

import pytest

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.fitting.marked_conversation import MarkedConversation


class Rendered(str):
    """Counts the texts that are compared with a part of it."""

    __slots__ = ("num_compared",)

    def startswith(self, *arguments: object) -> bool:
        self.num_compared = getattr(self, "num_compared", 0) + 1
        return super().startswith(*arguments)  # type: ignore[arg-type]


def called(arguments: str) -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, "", tool_calls=(ToolCall("id", "look", arguments),))


@pytest.mark.parametrize("value", [1, "a text"])
@pytest.mark.parametrize("gap", ["", "\U000f00000\U000f0000"])
def test_each_call_is_compared_with_its_own_place_alone(value: object, gap: str) -> None:
    """A gap in a key, which keeps it from being a control token, is the same in all calls."""
    number = 100
    calls = [called(json.dumps({f"k{gap}": value, "number": each}, ensure_ascii=False)) for each in range(number)]
    marked = MarkedConversation(calls, (), Literals())
    rendered = Rendered("\n".join(turn.tool_calls[0].name + turn.tool_calls[0].arguments for turn in marked.messages))
    marked.losses(rendered)
    assert getattr(rendered, "num_compared", 0) <= 3 * number
