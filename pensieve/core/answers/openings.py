"""How calls begin in an answer, and how they continue after their arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from pensieve.core.dialects.dialect import CallSyntax, Dialect
from pensieve.core.dialects.patterns import SPACE, expression, reader, split_at

MAX_CHARACTERS: Final = 1024
"""Of a call before its arguments, and after them, where it is recognised before it is whole. They are read with each
token, and more of them would be spaces.
"""


class BareOpenings:
    """How an answer may begin with a call that has no opening mark. White space is ignored."""

    def __init__(self, dialect: Dialect, names: Sequence[str]) -> None:
        if dialect.calls.start:
            openings: tuple[str, ...] = (dialect.calls.bare,) if is_json(dialect.calls.bare) else ()
        else:
            openings = dialect.heads(names)
        self._openings = tuple("".join(opening.split()) for opening in openings)

    def may_begin(self, text: str) -> bool:
        """Whether the text so far is consistent with a call; false for white space alone."""
        begun = _begun(text)
        if len(text) > MAX_CHARACTERS and not begun.startswith(self._openings):
            return False
        return bool(begun) and any(opening.startswith(begun) or begun.startswith(opening) for opening in self._openings)

    def has_begun(self, text: str) -> bool:
        return _begun(text).startswith(self._openings)


def _begun(text: str) -> str:
    return "".join(text[:MAX_CHARACTERS].split())


def is_json(text: str) -> bool:
    return text.startswith(("{", "["))


def called_tool(header: str, dialect: Dialect) -> str | None:
    """The tool that the header of a part calls, or None if the part is not a call."""
    call = re.search(dialect.call_header, header) if dialect.call_header else None
    return call["name"] if call is not None else None


def read_head(body: str, calls: CallSyntax) -> tuple[str | None, str]:
    """The name in a call's head and the text after the head; the name is None until the arguments begin."""
    head = _head(calls.call).match(body, 0, MAX_CHARACTERS)
    return (head["name"], body[head.end() :]) if head is not None else (None, "")


@lru_cache(maxsize=64)
def _head(pattern: str) -> re.Pattern[str]:
    """The text of a call before its arguments, which must be an object."""
    begins = expression(split_at(pattern, "arguments")[0]).removeprefix(SPACE).removesuffix(SPACE)
    return re.compile(rf"{SPACE}(?:\[{SPACE})?{begins}{SPACE}(?=\{{)", re.DOTALL)


def after_arguments(body: str, calls: CallSyntax) -> tuple[str, bool] | None:
    """The text after a call's closing, and whether it is another call; None until more text decides that."""
    body, later = body[:MAX_CHARACTERS], body[MAX_CHARACTERS:]
    found = _after_arguments(body, calls)
    if found is None:
        return (body + later, False) if later else None
    rest, is_another = found
    return rest + later, is_another


def _after_arguments(body: str, calls: CallSyntax) -> tuple[str, bool] | None:
    tail = _matcher(split_at(calls.call, "arguments")[1]).match(body)
    if tail is None:
        return None
    rest = body[tail.end() :]
    if not calls.end:
        return rest, False
    if (end := _matcher(calls.end).match(rest)) is not None:
        return with_space_before(rest, end.end()), False
    if calls.end.strip().startswith(rest.strip()):
        return None
    another = _matcher(calls.between).match(rest)
    if another is not None and rest[another.end() :].strip():
        return rest[another.end() :], True
    return None


def with_space_before(text: str, end: int) -> str:
    """The text from `end` on, including the white space before it: the next opening may begin with that."""
    return text[len(text[:end].rstrip()) :]


@lru_cache(maxsize=256)
def _matcher(pattern: str) -> re.Pattern[str]:
    """Matches a pattern with any white space before it."""
    return reader(pattern) if pattern.strip() else re.compile("")
