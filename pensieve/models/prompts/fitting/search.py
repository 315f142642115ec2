"""Which form a chat template needs, found out once by giving it small conversations of every shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Final

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.models.prompts.forms import Form, Rewrite
from pensieve.models.prompts.options import PROBE_TOOL

Losses = Callable[[Form, Sequence[ChatMessage]], int | None]
"""How many texts a template loses of a conversation in a form; None where it refuses it."""

_ASK = ChatMessage(Role.USER, "Hello.")
_ANSWER = ChatMessage(Role.ASSISTANT, "Hello to you.")
_SYSTEM = ChatMessage(Role.SYSTEM, "Be brief.")
_NOTE = ChatMessage(Role.SYSTEM, "It is late.")
_GO_ON = ChatMessage(Role.USER, "Go on.")
_THOUGHT = ChatMessage(Role.ASSISTANT, "Yes.", thinking="Is it so?")


def _calls(*numbers: int, text: str = "", thinking: str = "") -> ChatMessage:
    calls = (ToolCall(f"toolu_{number:021}", PROBE_TOOL.name, f'{{"word": "word {number}"}}') for number in numbers)
    return ChatMessage(Role.ASSISTANT, text, thinking=thinking, tool_calls=tuple(calls))


def _result(number: int) -> ChatMessage:
    return ChatMessage(Role.TOOL, f"It means {number}.", tool_call_id=f"toolu_{number:021}")


CONVERSATIONS: Final[tuple[tuple[ChatMessage, ...], ...]] = (
    (_ASK,),
    (_ASK, _ANSWER, _GO_ON),
    (_SYSTEM, _ASK),
    (_SYSTEM, _ASK, _ANSWER, _NOTE, _GO_ON),
    (_ASK, _ANSWER, _GO_ON, _NOTE),
    (_SYSTEM, _NOTE, _ASK, _ANSWER, _GO_ON),
    (_ASK, _GO_ON, _ANSWER, _ASK),
    (_ASK, _THOUGHT, _GO_ON),
)
"""From the simplest on."""

TOOL_CONVERSATIONS: Final[tuple[tuple[ChatMessage, ...], ...]] = (
    (_ASK, _calls(1), _result(1)),
    (_ASK, _calls(1), _result(1), _ANSWER, _GO_ON),
    (_ASK, _calls(1), _result(1), _calls(2), _result(2), _ANSWER, _GO_ON),
    (_ASK, _calls(1, text="Let me see."), _result(1), _ANSWER, _GO_ON),
    (_ASK, _calls(1), _result(1), _GO_ON),
    (_ASK, _calls(1), _result(1), _GO_ON, _ANSWER, _ASK),
    (_ASK, _calls(1, 2), _result(1), _result(2), _ANSWER, _GO_ON),
    (_ASK, _calls(1, 2, text="Let me see."), _result(1), _result(2), _GO_ON, _calls(3), _result(3), _GO_ON),
    (_ASK, _calls(1, thinking="Is it so?"), _result(1), _ANSWER, _GO_ON),
    (_ASK, _calls(1, text="Let me see.", thinking="Is it so?"), _result(1), _GO_ON),
    (_SYSTEM, _ASK, _calls(1), _result(1), _NOTE, _GO_ON),
    (_SYSTEM, _ASK, _calls(1), _result(1), _GO_ON, _NOTE),
)
"""The results follow the calls, and Claude Code has something to say beside them."""

_TRIED: Final = (
    Rewrite.NINE_CHARACTER_IDS,
    Rewrite.ARGUMENT_TEXT,
    Rewrite.FUNCTION_IDS,
    Rewrite.NOTES_AS_USER,
    Rewrite.JOINED,
    Rewrite.TEXT_IN_RESULT,
    Rewrite.CONTENT_PARTS,
    Rewrite.ONE_CALL_A_TURN,
    Rewrite.AS_GENERATED,
    Rewrite.TEXT_APART,
    Rewrite.SYSTEM_AS_USER,
    Rewrite.CALLS_IN_TEXT,
    Rewrite.RESULTS_AS_USER,
)
"""Those first that leave the conversation nearest to what the model was trained on."""
CALL_FORMS: Final = (
    Form(),
    Form(frozenset({Rewrite.ARGUMENT_TEXT})),
    Form(frozenset({Rewrite.NINE_CHARACTER_IDS})),
)
"""What a template may need for a call, if it has words for one."""
_MAX_AT_ONCE: Final = 3


def fitting_form(losses: Losses, *, with_tools: bool) -> Form:
    """The form with the fewest rewrites in which the template takes all of the conversations; where there is none, one
    that takes those that can be taken.
    """
    form = Form()
    taken: list[Sequence[ChatMessage]] = []
    for conversation in (*CONVERSATIONS, *(TOOL_CONVERSATIONS if with_tools else ())):
        fitting = next(
            (
                tried
                for tried in wider_forms(form, _MAX_AT_ONCE)
                if losses(tried, conversation) == 0 and all(losses(tried, before) == 0 for before in taken)
            ),
            None,
        )
        if fitting is not None:
            form = fitting
            taken.append(conversation)
    return form


def wider_forms(form: Form, most: int) -> Iterator[Form]:
    """A form, and what it is with one rewrite more, with two …"""
    others = [rewrite for rewrite in _TRIED if rewrite not in form.rewrites]
    for num_added in range(most + 1):
        for added in combinations(others, num_added):
            yield form.with_rewrites(*added)
