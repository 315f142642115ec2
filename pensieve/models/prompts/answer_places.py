"""Where an answer that was generated here stands in what a template made of the conversation.

The template is given a mark in the answer's place. Before it stands what the template has before answers in a history,
which is often not what the model had before it when it answered: an empty thought is left out, or written. What the
answer was generated after is put there. Where the answer ends in calls, the template is given them as well, since it
may look for a result's call; what it writes of them is taken out again, up to what ends the turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from contracts.values.vocabulary import ChatMessage, Role, Thinking, ToolCall
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.options import PROBE_TOOL, REFUSALS, Ending, Options, TurnStyle

_LIKE_A_TOKEN: Final = re.compile(r"\s*(<[^<>\s]+>|\[[^\[\]\s]+\])")

_CALL_ID: Final = "call00000"
_SYSTEM: Final = ChatMessage(Role.SYSTEM, "Be brief.")
_ASK: Final = ChatMessage(Role.USER, "Look.")
_CALL: Final = ChatMessage(Role.ASSISTANT, "", tool_calls=(ToolCall(_CALL_ID, PROBE_TOOL.name, '{"word": "look"}'),))
_ASKED: Final = {Role.TOOL: (_ASK, _CALL), Role.SYSTEM: (_ASK,)}
"""What stands before the turn that is answered, by its role."""

Write = Callable[[Sequence[ChatMessage], Literals, Options, Ending], str]


@dataclass(frozen=True, slots=True)
class _Opening:
    """What stands between a turn and the answer to it: in a history, and where the model is to answer."""

    in_history: str
    for_answer: str
    end_token: str
    """What follows the answer in a history, if it looks like a token; some end a turn by another than the model."""

    @property
    def stem(self) -> str:
        """What both begin with."""
        return self.in_history[: common_length(self.in_history, self.for_answer)]


class AnswerPlaces:
    """For one template, which `write` gives conversations to."""

    def __init__(self, write: Write, end_tokens: Sequence[str]) -> None:
        """`end_tokens` are those that may end an answer."""
        self._write = write
        self._end_tokens = end_tokens
        self._openings: dict[tuple[TurnStyle, Thinking, bool, Role, bool], _Opening | None] = {}

    def put_back(self, text: str, messages: Sequence[ChatMessage], literals: Literals, options: Options) -> str:
        """The text with every mark of an answer between the words that it was generated after and those that end it.

        Raises:
            ValueError: an answer has no place in it, or more than one.
        """
        parts: list[str] = []
        marks: list[str] = []
        for number, message in enumerate(messages):
            mark = literals.answer_in(message)
            if mark is None:
                continue
            opening = self._opening(options, messages[:number])
            if opening is None:
                raise ValueError("it has no place for an answer as it was generated")
            before, text = self._around(text, message, literals, opening)
            parts += (_reopened(before, opening), literals.text_of(mark))
            marks.append(mark)
        if any(mark in text for mark in marks):
            raise ValueError("it says an answer twice")
        return "".join([*parts, text])

    def _around(self, text: str, message: ChatMessage, literals: Literals, opening: _Opening) -> tuple[str, str]:
        """What stands before an answer and after it."""
        before, found, after = text.partition(message.text) if message.text else ("", "", "")
        if message.tool_calls:
            mark = literals.answer_in(message) or ""
            if not found:  # some write nothing else beside calls
                before, found, after = text.partition(literals.first_argument(mark))
            after = self._behind_calls(after, literals.last_argument(mark), opening)
        if not found:
            raise ValueError("it leaves out an answer")
        return before, after

    def _behind_calls(self, after: str, last_argument: str, opening: _Opening) -> str:
        _, found, rest = after.rpartition(last_argument)
        ends = [rest.find(token) for token in (*self._end_tokens, opening.end_token) if token and token in rest]
        if not found or not ends:
            raise ValueError("it does not show where the calls of an answer end")
        return rest[min(ends) :]

    def _opening(self, options: Options, before: Sequence[ChatMessage]) -> _Opening | None:
        """Found once for each way to ask, by two renderings of a conversation that is made up for it."""
        thinking = replace(options.thinking, budget_tokens=None, omitted=False)
        tools = (PROBE_TOOL,) if options.tools else ()
        answered = before[-1].role if before else Role.USER
        has_system = len(before) > 1 and before[0].role is Role.SYSTEM
        key = (options.style, thinking, bool(tools), answered, has_system)
        if key not in self._openings:
            asked = [*([_SYSTEM] if has_system else []), *_ASKED.get(answered, ())]
            try:
                self._openings[key] = self._probed(replace(options, thinking=thinking, tools=tools), asked, answered)
            except REFUSALS:
                self._openings[key] = None
        return self._openings[key]

    def _probed(self, options: Options, before: Sequence[ChatMessage], answered: Role) -> _Opening | None:
        literals = Literals()
        answer, mark = literals.splice(()), literals.end_mark
        asked = [*before, ChatMessage(answered, mark, tool_call_id=_CALL_ID if answered is Role.TOOL else None)]
        opened = self._write(asked, literals, options, Ending.ANSWER_OPENS)
        history = [*asked, ChatMessage(Role.ASSISTANT, answer), ChatMessage(Role.USER, "Go on.")]
        earlier, found, after = self._write(history, literals, options, Ending.TURN_ENDS).partition(answer)
        if not found or mark not in opened or mark not in earlier:
            return None
        end_token = _LIKE_A_TOKEN.match(after)
        return _Opening(_behind(earlier, mark), _behind(opened, mark), end_token[1] if end_token else "")


def _behind(text: str, mark: str) -> str:
    """What stands behind the turn that is answered; some write the id of the call at its end."""
    return text.rpartition(mark)[2].rpartition(_CALL_ID)[2]


def _reopened(before: str, opening: _Opening) -> str:
    """What stands before an answer, from the answer before it on, with the words that it was generated after."""
    if before.endswith(opening.in_history):
        return before.removesuffix(opening.in_history) + opening.for_answer
    # Some templates write more before the answers of the turn that runs: an empty thought, for one.
    start, stem, _ = before.rpartition(opening.stem) if opening.stem else ("", "", "")
    if not stem:
        raise ValueError("it opens this answer unlike any other")
    return start + opening.for_answer


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
