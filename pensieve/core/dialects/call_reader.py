"""Reads the calls that a model wrote after the opening mark of its calls.

Text that was constrained by a grammar has exactly one form. Without a grammar, models write JSON with and without
spaces, forget the end of a list, or put two calls into one wrapper: these variants are accepted, and no others.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

from contracts.values.vocabulary import Tool
from pensieve.core.dialects.arguments.json_object import read_value
from pensieve.core.dialects.arguments.syntaxes import SYNTAXES
from pensieve.core.dialects.arguments.value_rules import properties_of, required_of
from pensieve.core.dialects.dialect import CallForm, Dialect
from pensieve.core.dialects.patterns import expression, reader, split_at
from pensieve.core.dialects.tagged import read_parameters

ParsedCall = tuple[str, str]
"""A tool's name, and the JSON text of its arguments."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class NotACallError(ValueError):
    """The text does not, or not yet, consist of complete calls of known tools."""


class CallReader:
    """Reads the calls of one answer to a request with these tools."""

    def __init__(self, dialect: Dialect, tools: Sequence[Tool]) -> None:
        self._dialect = dialect
        self._syntax = dialect.calls
        self._schemas = {tool.name: json.loads(tool.input_schema) for tool in tools}

    def closer(self, *, bare: bool) -> str:
        """The mark after which calls may be complete, or "" if only the end of the answer completes them."""
        if bare:
            return self._syntax.bare_end
        placeholder = "parameters" if self._syntax.form is CallForm.TAGGED else "arguments"
        return _closing(self._syntax.end) or _closing(split_at(self._syntax.call, placeholder)[1])

    def split_at_closer(self, body: str, *, bare: bool) -> tuple[str, str]:
        """The text up to the first closing mark and with it, and the rest."""
        closer = self.closer(bare=bare)
        first, found, rest = body.partition(closer) if closer else (body, "", "")
        return first + found, rest

    def read(self, body: str) -> tuple[list[ParsedCall], int]:
        """The calls at the start of `body`, at least one, and the offset after them.

        Raises:
            NotACallError: a call is missing, broken or cut off, or its tool is unknown.
        """
        calls, at = self._read_one(body, 0)
        while (end := self._end(body, at)) is None:
            more, at = self._read_one(body, self._after_separator(body, at))
            calls += more
        return calls, end

    def _end(self, body: str, at: int) -> int | None:
        """The offset where the calls end, or None if another call follows."""
        end = _optional(self._syntax.end, body, at)
        if end is not None or not body[at:].strip():
            return at if end is None else end
        has_another = self._after_separator(body, at) != at or self._begins_call(body, at)
        return None if self._syntax.end or has_another else at

    def _begins_call(self, body: str, at: int) -> bool:
        return _optional(split_at(self._syntax.call, "name")[0], body, at) is not None

    def _after_separator(self, body: str, at: int) -> int:
        end = _optional(self._syntax.between, body, at)
        return at if end is None else end

    def _read_one(self, body: str, at: int) -> tuple[list[ParsedCall], int]:
        read = {
            CallForm.OBJECT: self._read_objects,
            CallForm.NAMED: self._read_named,
            CallForm.TAGGED: self._read_tagged,
        }[self._syntax.form]
        try:
            return read(body, at)
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            raise NotACallError(str(error)) from error

    def _read_objects(self, body: str, at: int) -> tuple[list[ParsedCall], int]:
        """JSON objects or lists of them, one or several in a row."""
        calls: list[ParsedCall] = []
        while True:
            start = _after(body, at, r"[\s,]*")
            if start >= len(body) or body[start] not in "{[":
                break
            value, at = read_value(body, start, self._dialect.marks) if body[start] == "{" else self._list(body, start)
            calls += [self._of_object(each) for each in (value if isinstance(value, list) else [value])]
        if not calls:
            raise NotACallError("a call must be an object with a name")
        tail = split_at(self._syntax.call, "arguments")[1]
        return calls, _after(body, at, _tail_expression(tail.partition("}")[2]))

    def _list(self, body: str, start: int) -> tuple[Any, int]:
        """A list of objects. If it is not closed, its objects are read one by one."""
        try:
            return read_value(body, start, self._dialect.marks)
        except ValueError:
            return [], start + 1

    def _of_object(self, call: Any) -> ParsedCall:
        """Accepts keys in any order, and those of other families, which some models write."""
        if not isinstance(call, dict):
            raise NotACallError("a call must be an object")
        name = call.get(self._syntax.name_key, call.get("name"))
        keys = (self._syntax.arguments_key, "arguments", "parameters")
        arguments = next((call[key] for key in keys if key in call), None)
        if isinstance(arguments, str):
            arguments = json.loads(arguments)
        if arguments is None and properties_of(self._schema(str(name))):
            raise NotACallError("the call has no arguments")
        return self._checked(str(name), {} if arguments is None else arguments)

    def _read_named(self, body: str, at: int) -> tuple[list[ParsedCall], int]:
        before, after = split_at(self._syntax.call, "arguments")
        head = _head(before, body, at)
        name = head["name"]
        start = _after(body, head.end(), r"\s*")
        arguments, at = SYNTAXES[self._syntax.arguments].read(body, start, self._schema(name), self._dialect.marks)
        return [self._checked(name, arguments)], _after(body, at, _tail_expression(after))

    def _read_tagged(self, body: str, at: int) -> tuple[list[ParsedCall], int]:
        before, after = split_at(self._syntax.call, "parameters")
        head = _head(before, body, at)
        name = head["name"]
        tail = _first_line(after)
        arguments, at = read_parameters(body, head.end(), self._schema(name), self._dialect, tail)
        found = reader(tail).match(body, at)
        if found is None:
            raise NotACallError("the call is not closed")
        return [self._checked(name, arguments)], _after(body, found.end(), _tail_expression(after.removeprefix(tail)))

    def _schema(self, name: str) -> Any:
        if name not in self._schemas:
            raise NotACallError(f"unknown tool {name!r}")
        return self._schemas[name]

    def _checked(self, name: str, arguments: Any) -> ParsedCall:
        required = required_of(self._schema(name))
        if not isinstance(arguments, dict):
            raise NotACallError("arguments must be an object")
        missing = [key for key in required if key not in arguments]
        if missing and not arguments:
            raise NotACallError(f"{missing[0]} is required")
        return name, _json_text(arguments)


def _json_text(arguments: dict[str, Any]) -> str:
    """The JSON to send. A lone surrogate is escaped, because it cannot be encoded as UTF-8.

    Raises:
        ValueError: a number is NaN, which JSON does not have.
    """
    arguments = _finite(arguments)
    text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
    return json.dumps(arguments) if _SURROGATE.search(text) else text


def _finite(value: Any) -> Any:
    """Replace infinities, such as 1e999, by the largest float, because JSON does not have them."""
    match value:
        case dict():
            return {key: _finite(part) for key, part in value.items()}
        case list():
            return [_finite(part) for part in value]
        case float() if math.isinf(value):
            return math.copysign(sys.float_info.max, value)
        case _:
            return value


def _head(pattern: str, body: str, at: int) -> re.Match[str]:
    found = reader(pattern).match(body, at)
    if found is None:
        raise NotACallError("a call must begin with the name of its tool")
    return found


def _first_line(tail: str) -> str:
    """The closing tag of a call, which is required; further lines belong to its wrapper."""
    line, newline, _ = tail.partition("\n")
    return line if line or not newline else tail


def _optional(text: str, body: str, at: int) -> int | None:
    """The offset after `text` if it occurs at `at`, apart from white space; else None."""
    found = reader(text).match(body, at) if text.strip() else None
    return found.end() if found is not None else None


def _tail_expression(text: str) -> str:
    """Matches the closing of a call, or nothing: models forget part of it, and the call is still valid."""
    return f"(?:{expression(text)})?" if text.strip() else ""


def _after(body: str, at: int, pattern: str) -> int:
    found = re.compile(pattern, re.DOTALL).match(body, at)
    return found.end() if found is not None else at


def _closing(text: str) -> str:
    """The mark in a closing: its last line without leading JSON brackets. MiniMax M3's mark begins with a bracket."""
    return re.sub(r"^(?:[\s}\"]|\](?!<\]))+", "", text.rstrip().rpartition("\n")[2])
