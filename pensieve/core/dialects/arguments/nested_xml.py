"""Arguments as MiniMax M3 writes them: nested elements, each tag after the mark `]<]minimax[>[`.

Source: the chat template of MiniMax-M3 (`to_xml`). An element contains verbatim text, `<item>` elements for a
list, or elements for an object; null values are omitted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pensieve.core.dialects.arguments.value_rules import (
    alternatives_of,
    choices_of,
    is_closed,
    item_bounds,
    number_rule,
    properties_of,
    reference_of,
    repeated,
    required_of,
    resolved,
)
from pensieve.core.dialects.marks import Marks
from pensieve.core.dialects.text_rules import quoted, until

MARK: Final = "]<]minimax[>["
KEY: Final = r"[^/>\s](?:[^>\n]*[^>\s])?"
"""The element names that can be parsed."""
_ITEM: Final = "item"
_MAX_DEPTH: Final = 24


def read(text: str, at: int, schema: Any, marks: Marks) -> tuple[dict[str, Any], int]:
    """
    Raises:
        ValueError: an element is not closed.
    """
    return _Reader(text, marks, schema).members(at, resolved(schema, schema))


class _Reader:
    def __init__(self, text: str, marks: Marks, root: Any) -> None:
        self._text = text
        self._root = root
        self._marks = marks
        self._closing = re.compile(rf"\s*{re.escape(marks.bound(MARK))}</[^>]*>")
        """Any closing tag: a grammar cannot make the model close a free element with the name that it opened."""
        self._opening = re.compile(rf"\s*{re.escape(marks.bound(MARK))}<({KEY})>")

    def members(self, at: int, schema: Any, depth: int = 0) -> tuple[dict[str, Any], int]:
        members: dict[str, Any] = {}
        while found := self._opening.match(self._text, at):
            key = self._marks.plain(found[1])
            members[key], at = self._element(found, properties_of(schema).get(key), depth)
        return members, at

    def _element(self, opening: re.Match[str], schema: Any, depth: int) -> tuple[Any, int]:
        schema = resolved(schema, self._root)
        if depth > _MAX_DEPTH:
            raise ValueError("elements nest too deeply")
        closing = f"{self._marks.bound(MARK)}</{opening[1]}>"
        inner = self._opening.match(self._text, opening.end())
        if inner is None or self._text.find(closing, opening.end(), inner.start() + 1) >= 0:
            end = self._text.find(closing, opening.end())
            found = self._closing.search(self._text, opening.end()) if end < 0 else None
            if end < 0 and found is None:
                raise ValueError(f"{opening[1]} is not closed")
            start, end = found.span() if found is not None else (end, end + len(closing))
            return _typed(self._marks.plain(self._text[opening.end() : start]), schema), end
        value, at = self._inner(opening.end(), inner, schema, depth + 1)
        found = self._closing.match(self._text, at)
        if found is None:
            raise ValueError(f"{opening[1]} is not closed")
        return value, found.end()

    def _inner(self, at: int, first: re.Match[str], schema: Any, depth: int) -> tuple[Any, int]:
        if first[1] != _ITEM or (isinstance(schema, dict) and schema.get("type") == "object"):
            return self.members(at, schema, depth)
        items: list[Any] = []
        wanted = schema.get("items") if isinstance(schema, dict) else None
        while (found := self._opening.match(self._text, at)) and found[1] == _ITEM:
            item, at = self._element(found, wanted, depth)
            items.append(item)
        return items, at


def _kind_of(schema: Any) -> str | None:
    """The type of a schema that has exactly one."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    return kind if isinstance(kind, str) else None


def _typed(text: str, schema: Any) -> Any:
    kinds = [_kind_of(each) for each in alternatives_of(schema)] if isinstance(schema, dict) else []
    if kinds == ["string"]:
        return text
    if not text.strip() and "string" not in kinds:
        empty: dict[Any, Any] = {"array": [], "object": {}}
        return next((empty[kind] for kind in kinds if kind in empty), text)
    try:
        return json.loads(text)
    except ValueError:
        return text


def rules(name: str, schema: Any, marks: Marks) -> Iterator[tuple[str, str]]:
    yield from _Rules(marks, schema).members(name, schema, 0)
    mark = quoted(marks.bound(MARK), marks)
    any_name = "/[A-Za-z0-9_.-]+/"
    yield "any_element", f'{mark} "<" {any_name} ">" (any_element+ {mark} | any_content) "</" {any_name} ">"'
    yield from until("any_content", marks.bound(MARK), marks).items()


class _Rules:
    def __init__(self, marks: Marks, root: Any) -> None:
        self._marks = marks
        self._root = root
        self._referred: dict[tuple[str, str], str] = {}

    def members(self, name: str, schema: Any, depth: int) -> Iterator[tuple[str, str]]:
        schema = resolved(schema, self._root)
        properties, required = properties_of(schema), required_of(schema)
        places = {key: f"{name}_{number}" for number, key in enumerate(properties)}
        members = [place if key in required else f"{place}?" for key, place in places.items()]
        yield name, " ".join(members) or ('""' if is_closed(schema) else "any_element*")
        for key, place in places.items():
            yield from self.element(place, key, properties[key], depth)

    def element(self, name: str, key: str, schema: Any, depth: int) -> Iterator[tuple[str, str]]:
        reference = reference_of(schema)
        if reference is not None:
            if (existing := self._referred.get((key, reference))) is not None:
                yield name, existing
                return
            self._referred[key, reference] = name
        yield from self._described(name, key, resolved(schema, self._root), depth)

    def _described(self, name: str, key: str, schema: Any, depth: int) -> Iterator[tuple[str, str]]:
        opening, closing = self._tag(f"<{key}>"), self._tag(f"</{key}>")
        kind = _kind_of(schema) if depth < _MAX_DEPTH else None
        choices = choices_of(schema)
        alternatives = alternatives_of(schema) if isinstance(schema, dict) and depth < _MAX_DEPTH else []
        if choices:
            written = " | ".join(quoted(_text_of(choice), self._marks) for choice in choices)
            yield name, f"{opening} ({written}) {closing}"
        elif len(alternatives) > 1 and not any(
            _kind_of(resolved(each, self._root)) == "string" for each in alternatives
        ):
            yield name, " | ".join(f"{name}_{number}" for number in range(len(alternatives)))
            for number, alternative in enumerate(alternatives):
                yield from self.element(f"{name}_{number}", key, alternative, depth + 1)
        elif kind == "object":
            yield name, f"{opening} {name}_in {closing}"
            yield from self.members(f"{name}_in", schema, depth + 1)
        elif kind == "array":
            min_items, max_items = item_bounds(schema)
            yield name, f"{opening} {repeated(f'{name}_item', min_items, max_items)} {closing}"
            yield from self.element(f"{name}_item", _ITEM, schema.get("items"), depth + 1)
        elif kind is not None and kind in _SCALARS:
            bounded = number_rule(schema) if kind in ("integer", "number") else ""
            yield name, f"{opening} {f'{name}_number' if bounded else _SCALARS[kind]} {closing}"
            yield from [(f"{name}_number", bounded)] if bounded else ()
        else:
            elements = "" if kind == "string" else f"any_element* {closing} | "
            yield name, f"{opening} ({elements}{name}_text)"
            yield from until(f"{name}_text", self._marks.bound(MARK) + f"</{key}>", self._marks).items()

    def _tag(self, text: str) -> str:
        return quoted(self._marks.bound(MARK) + text, self._marks)


_SCALARS: Final = {
    "integer": "/-?(0|[1-9][0-9]{0,17})/",
    "number": r"/-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?/",
    "boolean": '("true" | "false")',
    "null": '"null"',
}


def write(arguments: Mapping[str, Any], marks: Marks) -> str:  # noqa: ARG001 - marks are written as text
    return "".join(_written(key, value) for key, value in arguments.items() if value is not None)


def _written(key: str, value: Any) -> str:
    match value:
        case dict():
            inner = "".join(_written(*member) for member in value.items() if member[1] is not None)
        case list():
            inner = "".join(_written(_ITEM, item) for item in value)
        case _:
            inner = _text_of(value)
    return f"{MARK}<{key}>{inner}{MARK}</{key}>"


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
