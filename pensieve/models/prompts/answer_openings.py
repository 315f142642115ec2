"""Puts the answers that were generated here back into a rendered conversation, after the same opening as then.

The template gets a marker in each answer's place. What a template writes before an answer in a history often differs
from what it wrote when the model answered: an empty thought is left out, or added. So the text before the marker is
replaced by the opening that the answer was generated after. If the answer ends in calls, the template gets those as
well, because it may look up a result's call. What it writes of them is removed again, up to the end of the turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from contracts.values.vocabulary import ChatMessage, Role, Thinking, ToolCall
from pensieve.models.prompts.encoding.literals import Literals
from pensieve.models.prompts.options import PROBE_TOOL, TEMPLATE_ERRORS, PromptEnding, TemplateOptions, TurnStyle

_LIKE_A_TOKEN: Final = re.compile(r"\s*(<[^<>\s]+>|\[[^\[\]\s]+\])")

_CALL_ID: Final = "call00000"
_SYSTEM: Final = ChatMessage(Role.SYSTEM, "Be brief.")
_QUESTION: Final = ChatMessage(Role.USER, "Look.")
_CALL: Final = ChatMessage(Role.ASSISTANT, "", tool_calls=(ToolCall(_CALL_ID, PROBE_TOOL.name, '{"word": "look"}'),))
_PRECEDING: Final = {Role.TOOL: (_QUESTION, _CALL), Role.SYSTEM: (_QUESTION,)}
"""The turns that a probe needs before the turn that is answered, by the role of that turn."""

Render = Callable[[Sequence[ChatMessage], Literals, TemplateOptions, PromptEnding], str]


@dataclass(frozen=True, slots=True)
class _Opening:
    """The text between a turn and the answer to it: in a history, and at the end of a prompt."""

    in_history: str
    for_answer: str
    end_token: str
    """What follows an answer in a history, if it looks like a token. Some templates end turns with a token that the
    model does not generate.
    """

    @property
    def stem(self) -> str:
        return self.in_history[: common_prefix_length(self.in_history, self.for_answer)]


class _Place(NamedTuple):
    """Where an answer's marker is in the rendered text."""

    begin: int
    end: int


class AnswerOpenings:
    """The openings of one template, which is probed once for each combination of options."""

    def __init__(self, render: Render, end_tokens: Sequence[str]) -> None:
        """`render` applies the template. `end_tokens` are those that may end an answer."""
        self._render = render
        self._end_tokens = end_tokens
        self._openings: dict[tuple[TurnStyle, Thinking, bool, Role, bool], _Opening | None] = {}

    def restore(self, text: str, messages: Sequence[ChatMessage], literals: Literals, options: TemplateOptions) -> str:
        """The rendered text with the opening that each generated answer had before its marker, and its end after it.

        Raises:
            ValueError: the template does not write an answer exactly once, or not where its opening can be found.
        """
        numbers = [number for number, message in enumerate(messages) if literals.answer_marker(message) is not None]
        answers = [messages[number] for number in numbers]
        places = [*_places(text, answers, literals), _Place(len(text), len(text))]
        parts: list[str] = []
        start = 0
        for number, place, following in zip(numbers, places, places[1:], strict=False):
            opening = self._opening(options, messages, number)
            if opening is None:
                raise ValueError("it has no place for an answer as it was generated")
            marker = literals.answer_marker(messages[number]) or ""
            parts += (_reopened(text[start : place.begin], opening), literals.text_of(marker))
            start = place.end
            if messages[number].tool_calls:
                region = text[start : following.begin]
                start += self._end_of_calls(region, literals.last_argument_marker(marker), opening)
        rest = text[start:]
        repeated = set(literals.markers_in(rest))
        if any(literals.answer_marker(answer) in repeated for answer in answers):
            raise ValueError("it repeats an answer")
        return "".join([*parts, rest])

    def _end_of_calls(self, region: str, last_argument: str, opening: _Opening) -> int:
        """The length of what a template writes of an answer's calls, up to the end of the turn. `region` ends with the
        next answer.
        """
        last = region.rfind(last_argument)
        tokens = {token for token in (*self._end_tokens, opening.end_token) if token}
        ends = [region.find(token, last + len(last_argument)) for token in tokens]
        if last < 0 or max(ends, default=-1) < 0:
            raise ValueError("it does not show where the calls of an answer end")
        return min(end for end in ends if end >= 0)

    def _opening(self, options: TemplateOptions, messages: Sequence[ChatMessage], number: int) -> _Opening | None:
        """The opening of the answer with this number, or None if the template shows none."""
        thinking = replace(options.thinking, budget_tokens=None, omitted=False)
        tools = (PROBE_TOOL,) if options.tools else ()
        answered = messages[number - 1].role if number else Role.USER
        has_system = number > 1 and messages[0].role is Role.SYSTEM
        key = (options.style, thinking, bool(tools), answered, has_system)
        if key not in self._openings:
            preceding = [*([_SYSTEM] if has_system else []), *_PRECEDING.get(answered, ())]
            probe_options = replace(options, thinking=thinking, tools=tools)
            try:
                self._openings[key] = self._probe(probe_options, preceding, answered)
            except TEMPLATE_ERRORS:
                self._openings[key] = None
        return self._openings[key]

    def _probe(self, options: TemplateOptions, preceding: Sequence[ChatMessage], answered: Role) -> _Opening | None:
        """Compare a prompt that ends after a turn with one in which an answer follows that turn."""
        literals = Literals()
        answer, turn = literals.splice(()), literals.end_marker
        question = [*preceding, ChatMessage(answered, turn, tool_call_id=_CALL_ID if answered is Role.TOOL else None)]
        prompt = self._render(question, literals, options, PromptEnding.ANSWER_OPENS)
        history = [*question, ChatMessage(Role.ASSISTANT, answer), ChatMessage(Role.USER, "Go on.")]
        earlier, found, after = self._render(history, literals, options, PromptEnding.TURN_ENDS).partition(answer)
        if not found or turn not in prompt or turn not in earlier:
            return None
        end_token = _LIKE_A_TOKEN.match(after)
        return _Opening(_after_turn(earlier, turn), _after_turn(prompt, turn), end_token[1] if end_token else "")


def _places(text: str, answers: Sequence[ChatMessage], literals: Literals) -> Iterator[_Place]:
    """Each is looked for after the one before it, so that all of them take one pass over the text."""
    written = set(literals.markers_in(text))
    end = 0
    for answer in answers:
        begin, marker = -1, answer.text
        if answer.text in written:
            begin = text.find(marker, end)
        if begin < 0 and answer.tool_calls:  # some templates write no text beside calls
            marker = literals.first_argument_marker(literals.answer_marker(answer) or "")
            begin = text.find(marker, end)
        if begin < 0:
            raise ValueError("it leaves out an answer")
        end = begin + len(marker)
        yield _Place(begin, end)


def _after_turn(text: str, turn: str) -> str:
    """The text after a turn, and after the call id that some templates write at the end of a result."""
    return text.rpartition(turn)[2].rpartition(_CALL_ID)[2]


def _reopened(before: str, opening: _Opening) -> str:
    """The text before an answer, with the opening of a history replaced by the one that the model answered after."""
    if before.endswith(opening.in_history):
        return before.removesuffix(opening.in_history) + opening.for_answer
    # Some templates write more before the answers of the current turn, such as an empty thought.
    start, stem, _ = before.rpartition(opening.stem) if opening.stem else ("", "", "")
    if not stem:
        raise ValueError("it opens this answer unlike any other")
    return start + opening.for_answer


def common_prefix_length(one: str, other: str) -> int:
    """The number of leading characters that two texts share, by binary search: fast slices instead of a slow loop."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
