"""The states of the answer parser, and the marks that it looks for in each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from pensieve.core.answers.openings import is_json
from pensieve.core.dialects.call_reader import CallReader
from pensieve.core.dialects.dialect import Dialect


class State(Enum):
    """What the parser is reading."""

    HEADER = "the header of a part"
    TEXT = "text"
    THINKING = "thinking"
    CALLS = "calls, up to the arguments of one"
    ARGUMENTS = "the arguments of a call"
    CALL_TAIL = "the text after the arguments"


class StateMarks:
    """The marks that end a state, for one dialect."""

    def __init__(self, dialect: Dialect, reader: CallReader, *, has_tools: bool) -> None:
        self._dialect = dialect
        self._reader = reader
        self._has_tools = has_tools

    def first_state(self, *, starts_thinking: bool) -> State:
        return State.THINKING if starts_thinking and self._dialect.think_end else self.next_part

    @property
    def next_part(self) -> State:
        """The state in which a part of the answer begins."""
        return State.HEADER if self._dialect.header_end else State.TEXT

    def announced_by(self, header: str) -> State:
        """The state of a part that is not a call, from its header."""
        return State.THINKING if re.search(self._dialect.thinking_header, header) else State.TEXT

    def of(self, state: State, *, is_bare: bool, has_content: bool) -> Sequence[str]:
        """`is_bare` if the calls have no opening mark; `has_content` if the answer has text or calls so far."""
        match state:
            case State.HEADER:
                marks: tuple[str | None, ...] = (self._dialect.header_end,)
            case State.TEXT:
                marks = self._of_text(is_bare=is_bare, has_content=has_content)
            case State.THINKING:
                marks = (self._dialect.think_end,)
            case State.CALLS:
                marks = (self._reader.closer(bare=is_bare),)
            case State.ARGUMENTS | State.CALL_TAIL:
                marks = ()
        return [mark for mark in marks if mark]

    def _of_text(self, *, is_bare: bool, has_content: bool) -> tuple[str | None, ...]:
        dialect, calls = self._dialect, self._dialect.calls
        openers = (calls.start, calls.bare if not is_json(calls.bare) else None) if self._has_tools else ()
        dropped = (*dialect.text_starts, dialect.text_end, dialect.joint, dialect.tail)
        if is_bare:  # the model may close a wrapper that it never opened
            dropped += (self._reader.closer(bare=False),)
        thinking = () if dialect.header_end else (dialect.think_start, None if has_content else dialect.think_end)
        return (*openers, *thinking, *dropped)
