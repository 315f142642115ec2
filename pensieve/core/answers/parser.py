"""From the text that a model decodes to thinking, text and calls, piece by piece (W14, W15).

Parsing never raises: what cannot be a call is text. What may still become a mark is held back, and so is white space
that would stand alone before a call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from contracts.vocabulary import Tool
from pensieve.core.answers.json_extent import JsonObjectExtent
from pensieve.core.answers.stop_sequences import StopSequenceFilter
from pensieve.core.dialects.dialect import BodyParser, CallForm, Dialect, ParsedCall, parse_json_call


@dataclass(frozen=True, slots=True)
class SaidText:
    text: str


@dataclass(frozen=True, slots=True)
class SaidThinking:
    text: str


@dataclass(frozen=True, slots=True)
class BeganCall:
    name: str


@dataclass(frozen=True, slots=True)
class SaidArguments:
    json: str


@dataclass(frozen=True, slots=True)
class EndedCall:
    pass


Piece = SaidText | SaidThinking | BeganCall | SaidArguments | EndedCall

_CALL_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)', re.DOTALL)


class _State(Enum):
    TEXT = "text"
    THINKING = "thinking"
    CALL_HEAD = "the call up to its arguments"
    ARGUMENTS = "its arguments"
    CALL_TAIL = "what follows them"


class AnswerParser:
    """One answer. Feed it text, then finish it; both return the pieces that are certain by then."""

    def __init__(self, dialect: Dialect, tools: Sequence[Tool], *, starts_thinking: bool = False) -> None:
        self._dialect = dialect
        self._tools = tools
        self._state = _State.TEXT
        self._scan = StopSequenceFilter(())
        self._body = ""
        self._space = ""
        self._skips_space = False
        self._extent = JsonObjectExtent()
        self._enter(_State.THINKING if starts_thinking and dialect.think_end else _State.TEXT)

    def feed(self, text: str) -> list[Piece]:
        pieces: list[Piece] = []
        while text:
            safe, mark, text = self._scan.split(text)
            pieces += self._take(safe)
            if mark is not None:
                pieces += self._pass(mark)
        return pieces

    def finish(self) -> list[Piece]:
        """The answer ends here. A call that was cut off in its arguments stays without its end."""
        pieces = self._take(self._scan.finish())
        if self._state is _State.CALL_HEAD:
            pieces += self._parse_body(closed=False)
        elif self._state is _State.TEXT and self._space:
            pieces.append(SaidText(self._space))
        return pieces

    def _enter(self, state: _State) -> None:
        self._state = state
        dialect = self._dialect
        marks = {
            _State.TEXT: (dialect.call_start if self._tools else None, dialect.think_start),
            _State.THINKING: (dialect.think_end,),
            _State.CALL_HEAD: (dialect.call_end,),
            _State.ARGUMENTS: (),
            _State.CALL_TAIL: (dialect.call_end,),
        }
        self._scan = StopSequenceFilter([mark for mark in marks[state] if mark])

    def _pass(self, mark: str) -> list[Piece]:
        """A mark was read: the next state."""
        pieces: list[Piece] = []
        match self._state:
            case _State.TEXT if mark == self._dialect.call_start:
                self._space, self._body = "", ""
                self._enter(_State.CALL_HEAD)
            case _State.TEXT:
                self._space, self._skips_space = "", True
                self._enter(_State.THINKING)
            case _State.CALL_HEAD:
                pieces = self._parse_body(closed=True)
                self._enter(_State.TEXT)
            case _:
                self._skips_space = True
                self._enter(_State.TEXT)
        return pieces

    def _take(self, text: str) -> list[Piece]:
        match self._state:
            case _State.TEXT:
                return self._take_text(text)
            case _State.THINKING:
                if self._skips_space:
                    text = text.lstrip()
                self._skips_space = self._skips_space and not text
                return [SaidThinking(text)] if text else []
            case _State.CALL_HEAD:
                self._body += text
                return self._open_call()
            case _State.ARGUMENTS:
                return self._take_arguments(text)
            case _:
                return []

    def _take_text(self, text: str) -> list[Piece]:
        """Text, but for white space that a call or the end of thinking makes meaningless."""
        if self._skips_space:
            text = text.lstrip()
            self._skips_space = not text
        if not self._tools:
            return [SaidText(text)] if text else []
        text = self._space + text
        kept = text.rstrip()
        self._space = text[len(kept) :]
        return [SaidText(kept)] if kept else []

    def _open_call(self) -> list[Piece]:
        """Once the name is known and the arguments begin, they can be passed on as they come."""
        found = _CALL_HEAD.match(self._body) if self._dialect.call_form is CallForm.GENERAL else None
        if found is None:
            return []
        name, rest = json.loads(found[1]), self._body[found.end() :]
        self._enter(_State.ARGUMENTS)
        self._extent = JsonObjectExtent()
        return [BeganCall(name), *self._take_arguments(rest)]

    def _take_arguments(self, text: str) -> list[Piece]:
        length = self._extent.feed(text)
        pieces: list[Piece] = [SaidArguments(text[:length])] if length else []
        if self._extent.is_closed:
            self._enter(_State.CALL_TAIL)
            pieces.append(EndedCall())
            pieces += self.feed(text[length:])
        return pieces

    def _parse_body(self, *, closed: bool) -> list[Piece]:
        """A call that could not be passed on as it came: all of it is here now."""
        calls = _parsed(self._dialect.parse_call, self._body, self._tools)
        calls = calls or _parsed(parse_json_call, self._body, self._tools)  # a call that was held to the general form
        if not calls:
            end = self._dialect.call_end if closed else ""
            return [SaidText(self._dialect.call_start + self._body + end)]
        self._skips_space = True
        return [
            piece for name, arguments in calls for piece in (BeganCall(name), SaidArguments(arguments), EndedCall())
        ]


def _parsed(parse: BodyParser, body: str, tools: Sequence[Tool]) -> list[ParsedCall]:
    try:
        return parse(body, tools)
    except Exception:  # the parsers of dialects raise anything, over what a model may well write
        return []
