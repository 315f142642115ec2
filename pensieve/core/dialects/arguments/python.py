"""Arguments as in a Python call: `city='Paris', days=3`.

Source: the chat template of LiquidAI/LFM2.5-8B-A1B (`format_arg_value`). Names are written verbatim, even if they are
not Python identifiers: `file-path='a'`, `from='b'`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from pensieve.core.dialects.arguments.value_rules import Notation, anything_rules, argument_rules, properties_of
from pensieve.core.dialects.marks import Marks

KEY: Final = r"[^\s='\"()\[\]{},\\](?:[^\n='\"()\[\]{},\\]*[^\s='\"()\[\]{},\\])?"
"""The argument names that can be parsed."""
_ESCAPES: Final = r"\\(['\"\\nrtbf\/]|x[0-9a-fA-F]{2}|u([0-9abcefABCEF][0-9a-fA-F]|[dD][0-7])[0-9a-fA-F]{2})"
_STRING: Final = rf"/'([^'\\]|{_ESCAPES})*'/ | /\"([^\"\\]|{_ESCAPES})*\"/"
_NAME: Final = re.compile(rf"\s*({KEY})\s*=\s*")
_SCALAR: Final = re.compile(r"[\w.+-]+")
_CONSTANTS: Final[Mapping[str, Any]] = {
    "True": True,
    "true": True,
    "False": False,
    "false": False,
    "None": None,
    "null": None,
}
_TEXT: Final = {quote: re.compile(rf"(?:[^{quote}\\]|\\.)*", re.DOTALL) for quote in "'\""}
_ESCAPE: Final = re.compile(r"\\(?:U([0-9a-fA-F]{8})|u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "0": "\0", "\n": ""}
_MAX_DEPTH: Final = 100
"""The depth to which lists and dictionaries may nest."""


def read(text: str, at: int, schema: Any, marks: Marks) -> tuple[dict[str, Any], int]:  # noqa: ARG001
    """The keyword arguments from `at` up to the closing parenthesis of the call.

    Raises:
        ValueError: an argument is incomplete or not a literal.
    """
    reader, arguments = _Reader(text), dict[str, Any]()
    while not text.startswith(")", at := reader.skip_space(at)):
        found = _NAME.match(text, at)
        if found is None:
            raise ValueError("an argument must have a name")
        value, at = reader.value(found.end())
        arguments[marks.plain(found[1])] = marks.plain_in(value)
        at = reader.skip_comma(at, ")")
    return arguments, at


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text

    def value(self, at: int, depth: int = 0) -> tuple[Any, int]:
        if depth > _MAX_DEPTH:
            raise ValueError("values nest too deeply")
        at = self.skip_space(at)
        match self._text[at : at + 1]:
            case "'" | '"':
                return self._string(at)
            case "{":
                return self._dictionary(at + 1, depth)
            case "[":
                return self._items(at + 1, "]", depth)
            case "(":
                return self._items(at + 1, ")", depth)
        found = _SCALAR.match(self._text, at)
        if found is None:
            raise ValueError("an argument must be a literal")
        return _scalar(found[0]), found.end()

    def _string(self, at: int) -> tuple[str, int]:
        quote = self._text[at]
        found = _TEXT[quote].match(self._text, at + 1)
        if found is None or not self._text.startswith(quote, found.end()):
            raise ValueError("a string is not closed")
        return _ESCAPE.sub(_unescaped, found[0]), found.end() + 1

    def _dictionary(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        while not self._text.startswith("}", at := self.skip_space(at)):
            key, at = self.value(at, depth + 1)
            at = self.skip_space(at)
            if not self._text.startswith(":", at):
                raise ValueError("a colon is missing")
            members[str(key)], at = self.value(at + 1, depth + 1)
            at = self.skip_comma(at, "}")
        return members, at + 1

    def _items(self, at: int, closing: str, depth: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        while not self._text.startswith(closing, at := self.skip_space(at)):
            item, at = self.value(at, depth + 1)
            items.append(item)
            at = self.skip_comma(at, closing)
        return items, at + 1

    def skip_comma(self, at: int, closing: str) -> int:
        at = self.skip_space(at)
        if self._text.startswith(",", at):
            return at + 1
        if not self._text.startswith(closing, at):
            raise ValueError(f"a comma or {closing} is missing")
        return at

    def skip_space(self, at: int) -> int:
        while self._text[at : at + 1].isspace():
            at += 1
        return at


def _unescaped(found: re.Match[str]) -> str:
    code = found[1] or found[2] or found[3]
    return chr(int(code, 16)) if code else _ESCAPED.get(found[4], found[4])


def _scalar(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    try:
        return int(text)
    except ValueError:
        return float(text)


def rules(name: str, schema: Any, marks: Marks) -> Iterator[tuple[str, str]]:  # noqa: ARG001
    names = replace(_NOTATION, key=lambda key: _text(f"{key}="), any_key='/[A-Za-z_][A-Za-z0-9_-]*/ "="')
    yield name, f"{name}_first_0"
    yield from argument_rules(name, schema, _NOTATION, properties_of(schema), names)
    yield from anything_rules(_NOTATION)
    yield "python_text", _STRING


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _key(key: str) -> str:
    return f"({_text(f'{json.dumps(key, ensure_ascii=False)}: ')} | {_text(f'{key!r}: ')})"


_NOTATION: Final = Notation(
    text="python_text",
    literal=lambda value: " | ".join({_text(repr(value)): None, _text(json.dumps(value, ensure_ascii=False)): None}),
    any_key='python_text ": "',
    key=_key,
    constants=('("True" | "true")', '("False" | "false")', '("None" | "null")'),
    separator=", ",
)


def write(arguments: Mapping[str, Any], marks: Marks) -> str:  # noqa: ARG001 - this notation has no marks
    return ", ".join(f"{key}={_written(value)}" for key, value in arguments.items())


def _written(value: Any) -> str:
    """As the template does: strings in quotes, objects as JSON, everything else by repr."""
    if isinstance(value, str) and not set(value) & set("'\\"):
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else repr(value)
