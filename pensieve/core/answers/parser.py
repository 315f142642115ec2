"""From the text that a model decodes to thinking, text and calls, piece by piece (W14, W15).

Parsing never raises: what is not a whole call of a known tool is text. What may still become a mark is held back, and
so is white space that would stand alone before a call.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Final

from contracts.values.vocabulary import Tool
from pensieve.core.answers.json_extent import JsonObjectExtent
from pensieve.core.answers.openings import bare_openings, head_of_call, is_json, matcher
from pensieve.core.answers.pieces import ArgumentsPiece, CallEnd, CallStart, Piece, TextPiece, ThinkingPiece, whole_call
from pensieve.core.answers.stop_sequences import StopSequenceFilter
from pensieve.core.dialects.call_reader import CallReader, NotACallError
from pensieve.core.dialects.dialect import CallForm, Dialect
from pensieve.core.dialects.patterns import split_at

MAX_READINGS: Final = 16
"""Of one call that does not end where it seems to: the mark may stand within a string."""


class _State(Enum):
    HEADER = "the header of a part"
    TEXT = "text"
    THINKING = "thinking"
    CALLS = "calls up to the arguments of one"
    ARGUMENTS = "its arguments"
    CALL_TAIL = "what follows them"


class AnswerParser:
    """One answer. Feed it text, then finish it; both return the pieces that are certain by then."""

    def __init__(
        self, dialect: Dialect, tools: Sequence[Tool], *, starts_thinking: bool = False, streams_calls: bool = True
    ) -> None:
        """With `streams_calls`, arguments are passed on while they are made: only for an answer that is held to its
        grammar, since a call that turned out broken could not be taken back.
        """
        self._dialect = dialect
        self._names = frozenset(tool.name for tool in tools)
        self._bare_openings = bare_openings(dialect, [tool.name for tool in tools])
        self._reader = CallReader(dialect, tools)
        self._streams = (
            streams_calls and dialect.calls.arguments == "json" and dialect.calls.form is not CallForm.TAGGED
        )
        self._opener = ""
        self._is_bare = False
        self._body = ""
        self._readings = 0
        self._space = ""
        self._skips_space = False
        self._has_spoken = False
        self._extent = JsonObjectExtent()
        self._scan = StopSequenceFilter(())
        self._enter(self._first_state(starts_thinking=starts_thinking))

    def feed(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        while text:
            scan = self._scan
            safe, mark, text = scan.split(text)
            pieces += self._take(safe)
            if self._scan is not scan:  # another state looks for other marks in what is left
                text = scan.finish() + (mark or "") + text
            elif mark is not None:
                pieces += self._pass(mark)
        return pieces

    def finish(self) -> list[Piece]:
        """The answer ends here. A call that was cut off in its arguments stays without its end."""
        pieces = self._take(self._scan.finish())
        while self._state is _State.CALLS:
            pieces += self._read_calls() or self._give_up()
            pieces += self._take(self._scan.finish())
        if self._state is _State.TEXT and self._space:
            pieces += self._text(self._space)
        return pieces

    def _first_state(self, *, starts_thinking: bool) -> _State:
        if starts_thinking and self._dialect.think_end:
            return _State.THINKING
        return _State.HEADER if self._dialect.header_end else _State.TEXT

    def _enter(self, state: _State) -> None:
        self._state = state
        dialect = self._dialect
        marks: dict[_State, tuple[str | None, ...]] = {
            _State.HEADER: (dialect.header_end,),
            _State.TEXT: self._text_marks(),
            _State.THINKING: (dialect.think_end,),
            _State.CALLS: (self._reader.closer(bare=self._is_bare),),
        }
        self._scan = StopSequenceFilter([mark for mark in marks.get(state, ()) if mark])

    def _text_marks(self) -> tuple[str | None, ...]:
        dialect, calls = self._dialect, self._dialect.calls
        openers = (calls.start, calls.bare if not is_json(calls.bare) else None) if self._names else ()
        dropped = (*dialect.text_starts, dialect.text_end, dialect.joint, dialect.tail)
        if self._is_bare:  # the wrapper that was not opened may be closed all the same
            dropped += (self._reader.closer(bare=False),)
        thinking = () if dialect.header_end else (dialect.think_start, None if self._has_spoken else dialect.think_end)
        return (*openers, *thinking, *dropped)

    def _pass(self, mark: str) -> list[Piece]:
        """A mark was read: the next state."""
        match self._state:
            case _State.TEXT:
                return self._pass_in_text(mark)
            case _State.HEADER:
                return self._open_part()
            case _State.CALLS:
                self._body += mark
                self._readings += 1
                found = self._read_calls()
                return found if found or self._readings < MAX_READINGS else self._give_up()
            case _:
                self._end_part()
                return []

    def _pass_in_text(self, mark: str) -> list[Piece]:
        calls = self._dialect.calls
        if self._names and mark in (calls.start, calls.bare) and mark:
            self._open_calls(mark, is_bare=mark != calls.start)
            return self._take(mark) if calls.call.lstrip().startswith(mark) else []
        self._space, self._skips_space = "", True
        if mark == self._dialect.think_start:
            self._enter(_State.THINKING)
        elif mark == self._dialect.text_end:
            self._end_part()
        return []

    def _end_part(self) -> None:
        """A part is over. Another one begins with its header, where parts have them."""
        self._skips_space, self._body = True, ""
        self._enter(_State.HEADER if self._dialect.header_end else _State.TEXT)

    def _open_part(self) -> list[Piece]:
        """A header is whole: what it says decides what follows."""
        header, self._body = self._body, ""
        dialect = self._dialect
        call = re.search(dialect.call_header, header) if dialect.call_header else None
        if call is not None and call["name"] in self._names:
            self._open_calls(dialect.calls.start, is_bare=False)
            return self._take(split_at(dialect.calls.call, "arguments")[0].replace("{name}", call["name"]))
        is_thinking = re.search(dialect.thinking_header, header) is not None
        self._skips_space = False
        self._enter(_State.THINKING if is_thinking else _State.TEXT)
        return []

    def _open_calls(self, opener: str, *, is_bare: bool) -> None:
        self._opener, self._is_bare = opener, is_bare
        self._space, self._body, self._readings = "", "", 0
        self._enter(_State.CALLS)

    def _take(self, text: str) -> list[Piece]:
        match self._state:
            case _State.TEXT:
                return self._take_text(text)
            case _State.THINKING:
                return self._take_thinking(text)
            case _State.HEADER:
                self._body += text
                return []
            case _State.CALLS:
                self._body += text
                return self._stream_call()
            case _State.ARGUMENTS:
                return self._take_arguments(text)
            case _State.CALL_TAIL:
                return self._take_tail(text)

    def _take_thinking(self, text: str) -> list[Piece]:
        if self._skips_space:
            text = text.lstrip()
        self._skips_space = self._skips_space and not text
        return [ThinkingPiece(self._dialect.marks.plain(text))] if text else []

    def _take_text(self, text: str) -> list[Piece]:
        """Text, but for white space that a call or the end of thinking makes meaningless."""
        if self._skips_space:
            text = text.lstrip()
            self._skips_space = not text
        if not self._names and (self._has_spoken or not self._dialect.think_start):
            return self._text(text)
        if not self._has_spoken and self._may_be_bare(self._space + text):
            self._space += text
            return self._open_bare()
        text = self._space + text
        kept = text.rstrip()
        self._space = text[len(kept) :]
        return self._text(kept)

    def _text(self, text: str) -> list[Piece]:
        if not text:
            return []
        self._has_spoken = self._has_spoken or not text.isspace()
        return [TextPiece(self._dialect.marks.plain(text))]

    def _may_be_bare(self, text: str) -> bool:
        """Whether the answer begins as a call without a mark would, as far as it goes."""
        spoken = "".join(text.split())
        return bool(spoken) and any(
            opening.startswith(spoken) or spoken.startswith(opening) for opening in self._bare_openings
        )

    def _open_bare(self) -> list[Piece]:
        text = self._space.lstrip()
        if not "".join(text.split()).startswith(self._bare_openings):
            return []
        self._open_calls("", is_bare=bool(self._dialect.calls.start))
        return self._take(text)

    def _stream_call(self) -> list[Piece]:
        """Once the name is known and the arguments begin, they can be passed on as they come."""
        found = head_of_call(self._dialect.calls.call).match(self._body) if self._streams else None
        if found is None or found["name"] not in self._names:
            return []
        rest = self._body[found.end() :]
        self._body = ""
        self._enter(_State.ARGUMENTS)
        self._extent = JsonObjectExtent()
        return [CallStart(found["name"]), *self._take_arguments(rest)]

    def _take_arguments(self, text: str) -> list[Piece]:
        length = self._extent.feed(text)
        pieces: list[Piece] = [ArgumentsPiece(self._dialect.marks.plain(text[:length]))] if length else []
        if self._extent.is_closed:
            self._enter(_State.CALL_TAIL)
            self._has_spoken = True
            pieces.append(CallEnd())
            pieces += self.feed(text[length:])
        return pieces

    def _take_tail(self, text: str) -> list[Piece]:
        """Behind a streamed call: its closing, then another call, or the end of all."""
        self._body += text
        calls = self._dialect.calls
        tail = matcher(split_at(calls.call, "arguments")[1]).match(self._body)
        if tail is None:
            return []
        rest = self._body[tail.end() :]
        if not calls.end:
            return self._resume(rest)
        if (end := matcher(calls.end).match(rest)) is not None:
            return self._resume(_behind(rest, end.end()))
        if calls.end.strip().startswith(rest.strip()):
            return []
        another = matcher(calls.between).match(rest)
        if another is not None and rest[another.end() :].strip():
            self._open_calls(calls.between, is_bare=False)
            return self._take(rest[another.end() :])
        return []

    def _resume(self, rest: str) -> list[Piece]:
        self._end_part()
        return self.feed(rest)

    def _read_calls(self) -> list[Piece]:
        """The calls that were held back until now; none while they are not whole."""
        try:
            calls, end = self._reader.read(self._body)
        except NotACallError:
            return []
        rest, self._has_spoken = _behind(self._body, end), True
        pieces = [piece for call in calls for piece in whole_call(call)]
        return pieces + self._resume(rest)

    def _give_up(self) -> list[Piece]:
        """What was held back is text up to where its first call may have ended; what follows is read again."""
        opener = "" if self._is_bare or not self._opener else self._opener
        closer = self._reader.closer(bare=self._is_bare)
        body, self._body = self._body, ""
        first, found, rest = body.partition(closer) if closer else (body, "", "")
        self._has_spoken = True
        self._enter(_State.HEADER if self._dialect.header_end else _State.TEXT)
        self._skips_space = False
        return [*self._text(f"{opener}{first}{found}"), *self.feed(rest)]


def _behind(text: str, end: int) -> str:
    """What follows, with the white space before `end`: the next opening may begin with it."""
    return text[len(text[:end].rstrip()) :]
