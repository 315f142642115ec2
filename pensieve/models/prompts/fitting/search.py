"""Searches for the form that a chat template needs, with small conversations of every shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Final

from contracts.values.vocabulary import ChatMessage, Role, ToolCall
from pensieve.models.prompts.forms import ConversationForm, Rewrite
from pensieve.models.prompts.options import PROBE_TOOL

CountLosses = Callable[[ConversationForm, Sequence[ChatMessage]], int | None]
"""The number of parts of a conversation that a template drops or repeats in a form. None if it refuses it."""

_QUESTION = ChatMessage(Role.USER, "Hello.")
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
    (_QUESTION,),
    (_QUESTION, _ANSWER, _GO_ON),
    (_SYSTEM, _QUESTION),
    (_SYSTEM, _QUESTION, _ANSWER, _NOTE, _GO_ON),
    (_QUESTION, _ANSWER, _GO_ON, _NOTE),
    (_SYSTEM, _NOTE, _QUESTION, _ANSWER, _GO_ON),
    (_QUESTION, _GO_ON, _ANSWER, _QUESTION),
    (_QUESTION, _THOUGHT, _GO_ON),
)
"""The simplest first."""

TOOL_CONVERSATIONS: Final[tuple[tuple[ChatMessage, ...], ...]] = (
    (_QUESTION, _calls(1), _result(1)),
    (_QUESTION, _calls(1), _result(1), _ANSWER, _GO_ON),
    (_QUESTION, _calls(1), _result(1), _calls(2), _result(2), _ANSWER, _GO_ON),
    (_QUESTION, _calls(1, text="Let me see."), _result(1), _ANSWER, _GO_ON),
    (_QUESTION, _calls(1), _result(1), _GO_ON),
    (_QUESTION, _calls(1), _result(1), _GO_ON, _ANSWER, _QUESTION),
    (_QUESTION, _calls(1, 2), _result(1), _result(2), _ANSWER, _GO_ON),
    (_QUESTION, _calls(1, 2, text="Let me see."), _result(1), _result(2), _GO_ON, _calls(3), _result(3), _GO_ON),
    (_QUESTION, _calls(1, thinking="Is it so?"), _result(1), _ANSWER, _GO_ON),
    (_QUESTION, _calls(1, text="Let me see.", thinking="Is it so?"), _result(1), _GO_ON),
    (_SYSTEM, _QUESTION, _calls(1), _result(1), _NOTE, _GO_ON),
    (_SYSTEM, _QUESTION, _calls(1), _result(1), _GO_ON, _NOTE),
)
"""Results directly follow their calls. Claude Code adds text and system messages after them."""

_BY_PREFERENCE: Final = (
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
"""The rewrites that stay closest to what the model was trained on come first."""
CALL_FORMS: Final = (
    ConversationForm(),
    ConversationForm(frozenset({Rewrite.ARGUMENT_TEXT})),
    ConversationForm(frozenset({Rewrite.NINE_CHARACTER_IDS})),
)
"""The forms that a template which supports calls may need for one."""
_MAX_NEW_REWRITES: Final = 3


def fitting_form(count_losses: CountLosses, *, with_tools: bool) -> ConversationForm:
    """The form with the fewest rewrites in which the template loses nothing of any probe.

    Probes that no form can fix are skipped.
    """
    form = ConversationForm()
    passed: list[Sequence[ChatMessage]] = []
    for conversation in (*CONVERSATIONS, *(TOOL_CONVERSATIONS if with_tools else ())):
        fitting = next(
            (
                candidate
                for candidate in wider_forms(form, _MAX_NEW_REWRITES)
                if count_losses(candidate, conversation) == 0
                and all(count_losses(candidate, before) == 0 for before in passed)
            ),
            None,
        )
        if fitting is not None:
            form = fitting
            passed.append(conversation)
    return form


def wider_forms(form: ConversationForm, max_extra: int) -> Iterator[ConversationForm]:
    """The form itself, then with one more rewrite, with two, up to `max_extra`."""
    others = [rewrite for rewrite in _BY_PREFERENCE if rewrite not in form.rewrites]
    for num_added in range(max_extra + 1):
        for added in combinations(others, num_added):
            yield form.with_rewrites(*added)
