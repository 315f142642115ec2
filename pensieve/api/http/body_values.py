"""Bounds how many values the JSON of a body has, before it is parsed.

Parsing holds the interpreter's lock: 15 million numbers in 30 MB take seconds, in which no stream goes on. Counting
works in slices, so that it never holds the lock for long.
"""

from __future__ import annotations

import re
from typing import Final

from pensieve.core.errors import ValidationError

MAX_VALUES: Final = 200_000
"""Of objects, lists and what is in them. They take 0.1 s to parse; a conversation that fills a window of a million
tokens has some 30,000.
"""
SLICE: Final = 2**16
_STARTS: Final = (b",", b"[", b"{")
"""Each stands before one value: the next one, or the first in a list or an object."""
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_REST_OF_STRING: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*("|\\?\Z)', re.DOTALL)


def require_few_values(body: bytes, field: str = "body") -> None:
    """Of a body, or of JSON that is the text of a `field`.

    Raises:
        ValidationError: it has more than `MAX_VALUES`.
    """
    num_starts = sum(_num_starts(body[at : at + SLICE]) for at in range(0, len(body), SLICE))
    if num_starts > MAX_VALUES and _num_values(body) > MAX_VALUES:  # most are within strings
        raise ValidationError(
            field,
            f"has more than {MAX_VALUES} JSON values: send fewer messages, or data as the text of one string",
        )


def _num_starts(part: bytes) -> int:
    return sum(map(part.count, _STARTS))


def _num_values(body: bytes) -> int:
    """Without what strings contain. Counts no further than it must."""
    num_values, at = 0, 0
    while at < len(body) and num_values <= MAX_VALUES:
        part = _STRING.sub(b"", body[at : at + SLICE])
        at += SLICE
        before, quote, rest = part.partition(b'"')
        num_values += _num_starts(before)
        if quote:  # this string goes on in the next slice
            at = _end_of_string(body, at, ends_escaped=_ends_escaped(rest))
    return num_values


def _end_of_string(body: bytes, at: int, *, ends_escaped: bool) -> int:
    at += ends_escaped
    while at < len(body):
        part = body[at : at + SLICE]
        end = _REST_OF_STRING.match(part)
        if end is not None and end[1] == b'"':
            return at + end.end()
        at += len(part) + _ends_escaped(part)
    return at


def _ends_escaped(part: bytes) -> bool:
    """Whether the last character of a part of a string is a backslash that escapes the next one."""
    return (len(part) - len(part.rstrip(b"\\"))) % 2 == 1
