"""Arguments as Gemma 4 writes them: `{city:<|"|>Paris<|"|>,days:3}`, with unquoted, sorted keys.

Source: the chat template of google/gemma-4-31B-it (`format_argument`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pensieve.core.dialects.arguments.value_rules import Notation, anything_rules, argument_rules, properties_of
from pensieve.core.dialects.marks import Marks
from pensieve.core.dialects.text_rules import quoted, until

QUOTE: Final = '<|"|>'
KEY: Final = r"(?![\"<])[^\s:{}\[\],](?:[^:{}\[\],\n]*[^\s:{}\[\],])?"
"""The keys that can be parsed without quotes."""
_KEY: Final = re.compile(rf"\s*({KEY})\s*:")
_SCALAR: Final = re.compile(r"[^\s,{}\[\]]+")
_CONSTANTS: Final = {"true": True, "false": False, "null": None, "None": None}


def read(text: str, at: int, schema: Any, marks: Marks) -> tuple[dict[str, Any], int]:  # noqa: ARG001
    """
    Raises:
        ValueError: `text` has no complete object at `at`.
    """
    value, end = _Reader(text, marks).value(at)
    if not isinstance(value, dict):
        raise ValueError("arguments must be an object")  # noqa: TRY004 - the model's error, not the caller's
    return value, end


class _Reader:
    def __init__(self, text: str, marks: Marks) -> None:
        self._text = text
        self._marks = marks
        self._quotes = tuple({marks.bound(QUOTE), QUOTE})

    def value(self, at: int) -> tuple[Any, int]:
        at = self._skip_space(at)
        for quote in (*self._quotes, '"'):
            if self._text.startswith(quote, at):
                end = self._text.index(quote, at + len(quote))
                return self._marks.plain(self._text[at + len(quote) : end]), end + len(quote)
        if self._text.startswith("{", at):
            return self._object(at + 1)
        if self._text.startswith("[", at):
            return self._array(at + 1)
        found = _SCALAR.match(self._text, at)
        if found is None:
            raise ValueError("a value is missing")
        return _scalar(found[0]), found.end()

    def _object(self, at: int) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        while not self._text.startswith("}", at := self._skip_space(at)):
            key, at = self._key(at)
            members[key], at = self.value(at)
            at = self._skip_comma(at, "}")
        return members, at + 1

    def _key(self, at: int) -> tuple[str, int]:
        if self._text.startswith((*self._quotes, '"'), at):
            key, at = self.value(at)
            return str(key), self._text.index(":", at) + 1
        found = _KEY.match(self._text, at)
        if found is None:
            raise ValueError("a key is missing")
        return found[1], found.end()

    def _array(self, at: int) -> tuple[list[Any], int]:
        items: list[Any] = []
        while not self._text.startswith("]", at := self._skip_space(at)):
            item, at = self.value(at)
            items.append(item)
            at = self._skip_comma(at, "]")
        return items, at + 1

    def _skip_comma(self, at: int, closing: str) -> int:
        at = self._skip_space(at)
        if self._text.startswith(",", at):
            return at + 1
        if not self._text.startswith(closing, at):
            raise ValueError(f"a comma or {closing} is missing")
        return at

    def _skip_space(self, at: int) -> int:
        while at < len(self._text) and self._text[at].isspace():
            at += 1
        return at


def _scalar(text: str) -> Any:
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    try:
        return int(text)
    except ValueError:
        return float(text)


def rules(name: str, schema: Any, marks: Marks) -> Iterator[tuple[str, str]]:
    """Rules for the arguments of one tool. Rules that tools share have the same name and body in each."""
    notation = _notation(marks)
    properties = dict(sorted(properties_of(schema).items(), key=lambda item: item[0].lower()))
    yield name, f'"{{" {name}_first_0 "}}"'
    yield from argument_rules(name, schema, notation, properties)
    yield from anything_rules(notation)
    yield from until("gemma_text", marks.bound(QUOTE), marks).items()


def _notation(marks: Marks) -> Notation:
    quote = quoted(marks.bound(QUOTE), marks)
    return Notation(
        text=f"{quote} gemma_text",
        literal=lambda value: quoted(marks.bound(_written(value)), marks),
        any_key='/[A-Za-z0-9_.-]+/ ":"',
        key=lambda key: quoted(f"{key}:", marks),
        constants=('"true"', '"false"', '"null"'),
        separator=",",
    )


def write(arguments: Mapping[str, Any], marks: Marks) -> str:  # noqa: ARG001 - marks are written as text
    return _written(arguments)


def _written(value: Any) -> str:
    match value:
        case str():
            return f"{QUOTE}{value}{QUOTE}"
        case bool():
            return "true" if value else "false"
        case dict():
            members = sorted(value.items(), key=lambda item: item[0].lower())
            return "{" + ",".join(f"{key}:{_written(part)}" for key, part in members) + "}"
        case list():
            return "[" + ",".join(map(_written, value)) + "]"
        case None:
            return "null"
        case _:
            return str(value)
