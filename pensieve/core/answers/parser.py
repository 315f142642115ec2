"""Splits decoded text into thinking, text and tool calls as it arrives (W14, W15).

Parsing never raises: anything that is not a complete call of a known tool is text. Text that may still become a mark
is withheld, and so is white space that may turn out to stand before a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from contracts.values.vocabulary import Tool
from pensieve.core.answers.growing_text import GrowingText
from pensieve.core.answers.json_extent import JsonObjectExtent
from pensieve.core.answers.openings import (
    MAX_CHARACTERS,
    BareOpenings,
    after_arguments,
    called_tool,
    read_head,
    with_space_before,
)
from pensieve.core.answers.pieces import ArgumentsPiece, CallEnd, CallStart, Piece, TextPiece, ThinkingPiece, whole_call
from pensieve.core.answers.spaces import Spaces
from pensieve.core.answers.states import State, StateMarks
from pensieve.core.answers.stop_sequences import StopSequenceFilter
from pensieve.core.dialects.call_reader import CallReader, NotACallError
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.dialects.patterns import split_at

MAX_ATTEMPTS: Final = 16
"""Attempts to read one call, since a closing mark may stand inside a string."""
PART_CHARACTERS: Final = 4096


class AnswerParser:
    """Parses one answer. `feed` it the text, then `finish`; both return the pieces that are certain by then."""

    def __init__(
        self, dialect: Dialect, tools: Sequence[Tool], *, starts_thinking: bool = False, streams_calls: bool = True
    ) -> None:
        """`streams_calls` emits arguments while they are generated. Use it only for answers that are constrained by a
        grammar: a call that turns out to be broken cannot be taken back.
        """
        self._dialect = dialect
        self._names = frozenset(tool.name for tool in tools)
        self._bare_openings = BareOpenings(dialect, [tool.name for tool in tools])
        self._reader = CallReader(dialect, tools)
        self._marks = StateMarks(dialect, self._reader, has_tools=bool(tools))
        self._streams = streams_calls and dialect.calls.is_json
        self._opener, self._is_bare = "", False
        self._body, self._num_attempts = GrowingText(), 0
        self._spaces, self._has_content = Spaces(), False
        self._extent = JsonObjectExtent()
        self._given_back = ""  # to parse next, in the state that was entered for it
        self._enter(self._marks.first_state(starts_thinking=starts_thinking))

    def feed(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        parts = _parts(text)
        while parts or self._given_back:
            parts += _parts(self._given_back)
            self._given_back, scan = "", self._scan
            safe, mark, rest = scan.split(parts.pop())
            pieces += self._take(safe)
            if self._scan is not scan:  # the new state looks for other marks in the rest
                rest = scan.finish() + (mark or "") + rest
            elif mark is not None:
                pieces += self._pass_mark(mark)
            parts += _parts(rest)
        return pieces

    def finish(self, *, is_cut: bool = False) -> list[Piece]:
        """End the answer, which `is_cut` off by a limit. A call that ends within its arguments gets no CallEnd."""
        pieces: list[Piece] = []
        while (withheld := self._scan.finish()) or self.state is State.CALLS:
            if withheld:
                pieces += self._take(withheld)
            else:
                self._streams |= is_cut and self._dialect.calls.is_json
                pieces += self._read_calls() or self._stream_call() or self._give_up(drops_calls=is_cut)
            pieces += self.feed("")
        if self.state is State.TEXT:
            pieces += self._text(self._spaces.take())
        return pieces

    def _enter(self, state: State) -> None:
        self.state = state
        self._scan = StopSequenceFilter(self._marks.of(state, is_bare=self._is_bare, has_content=self._has_content))

    def _pass_mark(self, mark: str) -> list[Piece]:
        match self.state:
            case State.TEXT:
                return self._pass_mark_in_text(mark)
            case State.HEADER:
                return self._open_part()
            case State.CALLS:
                self._body.add(mark)
                self._num_attempts += 1
                calls = self._read_calls()
                return calls if calls or self._num_attempts < MAX_ATTEMPTS else self._give_up()
            case _:
                return self._end_part()

    def _pass_mark_in_text(self, mark: str) -> list[Piece]:
        calls = self._dialect.calls
        if self._names and mark in (calls.start, calls.bare) and mark:
            self._open_calls(mark, is_bare=mark != calls.start)
            return self._take(mark) if calls.call.lstrip().startswith(mark) else []
        self._spaces = Spaces(skips=True)
        if mark == self._dialect.think_start:
            self._enter(State.THINKING)
        elif mark == self._dialect.text_end:
            self._end_part()
        return []

    def _end_part(self, rest: str = "") -> list[Piece]:
        """Parse the `rest` as the beginning of another part."""
        self._spaces.skips, self._body = True, GrowingText()
        self._enter(self._marks.next_part)
        self._given_back = rest
        return []

    def _open_part(self) -> list[Piece]:
        """Enter the part that a complete header announces."""
        header = self._body.take()
        name = called_tool(header, self._dialect)
        if name in self._names:
            calls = self._dialect.calls
            self._open_calls(calls.start, is_bare=False)
            return self._take(split_at(calls.call, "arguments")[0].replace("{name}", name))
        self._spaces.skips = False
        self._enter(self._marks.announced_by(header))
        return []

    def _open_calls(self, opener: str, *, is_bare: bool) -> None:
        self._opener, self._is_bare = opener, is_bare
        self._body, self._num_attempts = GrowingText(), 0
        self._spaces.take()
        self._enter(State.CALLS)

    def _take(self, text: str) -> list[Piece]:
        match self.state:
            case State.TEXT:
                return self._take_text(text)
            case State.THINKING:
                text = self._spaces.without_begin(text)
                return [ThinkingPiece(self._dialect.marks.plain(text))] if text else []
            case State.HEADER | State.CALLS:
                has_tried = self._body.length >= MAX_CHARACTERS
                self._body.add(text)
                return self._stream_call() if self.state is State.CALLS and not has_tried else []
            case State.ARGUMENTS:
                return self._take_arguments(text)
            case State.CALL_TAIL:
                return self._take_tail(text)

    def _take_text(self, text: str) -> list[Piece]:
        """Emit text, except white space that is meaningless before a call or after thinking."""
        text = self._spaces.without_begin(text)
        if not self._names and (self._has_content or not self._dialect.think_start):
            return self._text(text)
        if text.isspace():
            self._spaces.hold(text)
            return []
        text = self._spaces.take() + text
        if not self._has_content and self._bare_openings.may_begin(text):
            if not self._bare_openings.has_begun(text):
                self._spaces.hold(text)
                return []
            self._open_calls("", is_bare=bool(self._dialect.calls.start))
            return self._take(text.lstrip())
        return self._text(self._spaces.without_end(text))

    def _text(self, text: str) -> list[Piece]:
        self._has_content = self._has_content or bool(text.strip())
        return [TextPiece(self._dialect.marks.plain(text))] if text else []

    def _stream_call(self) -> list[Piece]:
        """Emit the call's name and what there is of its arguments, once the arguments begin."""
        if not self._streams:
            return []
        name, rest = read_head(str(self._body), self._dialect.calls)
        if name not in self._names:
            return []
        self._body, self._extent = GrowingText(), JsonObjectExtent()
        self._enter(State.ARGUMENTS)
        return [CallStart(name), *self._take_arguments(rest)]

    def _take_arguments(self, text: str) -> list[Piece]:
        length = self._extent.feed(text)
        pieces: list[Piece] = [ArgumentsPiece(self._dialect.marks.plain(text[:length]))] if length else []
        if self._extent.is_closed:
            self._enter(State.CALL_TAIL)
            self._has_content = True
            pieces.append(CallEnd())
            self._given_back = text[length:]
        return pieces

    def _take_tail(self, text: str) -> list[Piece]:
        """After a streamed call: its closing, then another call or the end of the calls."""
        self._body.add(text)
        match after_arguments(str(self._body), self._dialect.calls):
            case (rest, True):
                self._open_calls(self._dialect.calls.between, is_bare=False)
                return self._take(rest)
            case (rest, False):
                return self._end_part(rest)
            case _:
                return []

    def _read_calls(self) -> list[Piece]:
        """The calls that were withheld, or none while they are incomplete."""
        try:
            calls, end = self._reader.read(str(self._body))
        except NotACallError:
            return []
        rest, self._has_content = with_space_before(str(self._body), end), True
        return [*(piece for call in calls for piece in whole_call(call)), *self._end_part(rest)]

    def _give_up(self, *, drops_calls: bool = False) -> list[Piece]:
        """Emit as text what was withheld up to the first closing mark, and parse the rest again.

        `drops_calls` without a name so far: they are neither calls nor text that a reader should see.
        """
        opener = "" if self._is_bare else self._opener
        body = self._body.take()
        if drops_calls and opener and read_head(body, self._dialect.calls)[0] is None:
            return self._end_part()
        first, rest = self._reader.split_at_closer(body, bare=self._is_bare)
        self._has_content, self._spaces.skips = True, False
        self._enter(self._marks.next_part)
        self._given_back = rest
        return self._text(opener + first)


def _parts(text: str) -> list[str]:
    """The text in parts, the first one last: after each mark, only the rest of a part is copied and searched."""
    return [text[start : start + PART_CHARACTERS] for start in range(0, len(text), PART_CHARACTERS)][::-1]
