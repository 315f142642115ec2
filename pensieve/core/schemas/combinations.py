"""What a schema's alternatives, texts and multiples come to once those beside each other are combined, and how long the
text may be that has no alternative.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from functools import reduce
from typing import Any, Final, NamedTuple

MAX_COMBINATIONS: Final = 1000
"""llguidance 1.9 writes each of them out: a kilobyte of `anyOf` within `allOf` would take all memory."""
MAX_TEXTS: Final = 8
"""Patterns and formats of one text. Each doubles what llguidance 1.9 computes to combine them: twenty of two letters
take 3 s and 0.3 GB, and two more take all memory.
"""
MAX_MULTIPLE: Final = 10_000
"""Of a number, without its decimal point. llguidance 1.9 takes 8 microseconds and 0.4 KB for each number below it."""
_CHOICES: Final = ("anyOf", "oneOf")
_JOINED: Final = ("allOf", "$ref", *_CHOICES)
_MAPS: Final = ("properties", "patternProperties", "$defs")
_FREE: Final = frozenset({"$defs", "$schema"})
_OF_VALUES: Final = frozenset({"const", "enum", "type"})
_TEXTS: Final = ("pattern", "format")
_JOINT: Final = len('"": , ')
_LENGTH_COST: Final = 10
"""Of each character that a pattern must have by minLength, since llguidance 1.9 combines the two."""
_REPETITION: Final = re.compile(r"\{(\d+)")
_ENOUGH: Final = 10**9


def excess_of(schema: Any) -> str:
    """Which of its combinations exceed a limit, in a sentence, or "". References must lead to `$defs`."""
    if not isinstance(schema, dict):
        return ""
    count = _Count(schema.get("$defs", {}))
    count.of(schema)
    if count.most > MAX_COMBINATIONS:
        return f"its alternatives have more than {MAX_COMBINATIONS} combinations"
    if count.max_texts > MAX_TEXTS:
        return f"a text has more than {MAX_TEXTS} patterns and formats"
    if count.largest_multiple > MAX_MULTIPLE:
        return f"the least common multiple is above {MAX_MULTIPLE}"
    return ""


def size_of_multiple(multiple: Decimal | float) -> int:
    """The multiple without its decimal point."""
    _, digits, exponent = Decimal(str(multiple)).normalize().as_tuple()
    number, power = int("".join(map(str, digits))), max(int(exponent), 0)
    return number * int("1" + "0" * power)


class _Alternatives(NamedTuple):
    """Of one schema, up to one more than allowed: those of choices alone, and with the values of enums.

    Values cost little unless they are combined: two enums beside each other are compared pair by pair.
    """

    choices: int = 1
    with_values: int = 1
    texts: int = 0
    multiple: Decimal = Decimal(1)

    def beside(self, other: _Alternatives) -> _Alternatives:
        return _bounded(
            self.choices * other.choices,
            self.with_values * other.with_values,
            self.texts + other.texts,
            _common_multiple(self.multiple, other.multiple),
        )


def _bounded(choices: int, with_values: int, texts: int = 0, multiple: Decimal = Decimal(1)) -> _Alternatives:
    most = MAX_COMBINATIONS + 1
    return _Alternatives(min(choices, most), min(with_values, most), min(texts, most), multiple)


def _common_multiple(one: Decimal, other: Decimal) -> Decimal:
    unit = Decimal(1).scaleb(min(int(one.as_tuple().exponent), int(other.as_tuple().exponent), 0))
    number = math.lcm(int(one / unit), int(other / unit))
    return number * unit if number <= MAX_MULTIPLE else Decimal(MAX_MULTIPLE + 1)


class _Count:
    """`most` is that of the part with the most."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._known: dict[str, _Alternatives] = {}
        self.most = 1
        self.max_texts = 0
        self.largest_multiple = 1

    def of(self, schema: Any) -> _Alternatives:
        if not isinstance(schema, dict):
            return _Alternatives()
        factors = list(self._factors(schema))
        for part in _inner(schema):
            self.of(part)
        number = reduce(_Alternatives.beside, factors, _Alternatives())
        is_combined = "allOf" in schema or len(schema.keys() - _FREE) > 1
        if is_combined and not schema.keys().isdisjoint(_JOINED):
            self._note_combined(number, factors)
        elif not schema.keys().isdisjoint(_CHOICES):
            self.most = max(self.most, _width(schema))
        return number

    def _note_combined(self, number: _Alternatives, factors: list[_Alternatives]) -> None:
        several = sum(factor.with_values > 1 for factor in factors) > 1
        self.most = max(self.most, number.with_values if several else number.choices)
        self.max_texts = max(self.max_texts, number.texts)
        if sum(factor.multiple != 1 for factor in factors) > 1:
            self.largest_multiple = max(self.largest_multiple, size_of_multiple(number.multiple))

    def _factors(self, schema: dict[str, Any]) -> Iterator[_Alternatives]:
        """What stands beside each other."""
        if "$ref" in schema:
            yield self._of_reference(schema["$ref"])
        if schema.get("enum"):
            yield _bounded(1, len(schema["enum"]))
        if not schema.keys().isdisjoint(_TEXTS):
            yield _Alternatives(texts=sum(key in schema for key in _TEXTS))
        if "multipleOf" in schema:
            yield _Alternatives(multiple=Decimal(str(schema["multipleOf"])))
        for choices in (schema[key] for key in _CHOICES if schema.get(key)):
            yield self._one_of(choices)
        yield from map(self.of, schema.get("allOf", ()))

    def _one_of(self, choices: list[Any]) -> _Alternatives:
        found = [self.of(choice) for choice in choices]
        return _bounded(
            sum(each.choices for each in found),
            sum(each.with_values for each in found),
            max(each.texts for each in found),
            reduce(_common_multiple, (each.multiple for each in found)),  # at least that of each choice
        )

    def _of_reference(self, reference: str) -> _Alternatives:
        name = reference.rpartition("/")[2]
        if name not in self._known:
            self._known[name] = _Alternatives()  # for what refers to it from within
            self._known[name] = self.of(self._definitions.get(name))
        return self._known[name]


def _width(schema: Any) -> int:
    """The alternatives of a schema that has nothing beside them. Values are as cheap as those of one enum."""
    if not isinstance(schema, dict):
        return 1
    if schema.keys() <= _OF_VALUES and not schema.keys() <= {"type"}:
        return 0
    choices = [choice for key in _CHOICES for choice in schema.get(key, ())]
    return sum(map(_width, choices)) if choices else 1


def _inner(schema: dict[str, Any]) -> Iterator[Any]:
    """The schemas of what a value contains."""
    for key in _MAPS:
        yield from schema.get(key, {}).values()
    yield from schema.get("prefixItems", ())
    yield from (schema[key] for key in ("items", "additionalProperties") if key in schema)


def max_forced_characters(schema: Any) -> int:
    """JSON of this schema has no more characters in a row that nothing else may replace. References must lead to
    `$defs`.
    """
    try:
        return _Forced(schema.get("$defs", {})).of(schema) if isinstance(schema, dict) else 0
    except RecursionError:
        return _ENOUGH


class _Forced:
    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._known: dict[str, int] = {}

    def of(self, schema: Any) -> int:
        return min(sum(self._parts(schema)), _ENOUGH) if isinstance(schema, dict) else 0

    def _parts(self, schema: dict[str, Any]) -> Iterator[int]:
        """Of a choice only the longest counts: its first characters are the choice."""
        values = [*schema.get("enum", ()), *([schema["const"]] if "const" in schema else [])]
        yield max((len(json.dumps(value)) for value in values), default=0)
        if not schema.keys().isdisjoint(_TEXTS):
            yield _of_pattern(schema.get("pattern", "")) + _LENGTH_COST * _number(schema, "minLength")
        yield from (self._reference(schema["$ref"]) for _ in range("$ref" in schema))
        yield from (max(map(self.of, schema[key])) for key in _CHOICES if schema.get(key))
        yield from map(self.of, schema.get("allOf", ()))
        yield from self._of_object(schema)
        yield from (_JOINT + self.of(item) for item in schema.get("prefixItems", ()))
        yield _number(schema, "minItems") * _JOINT + max(_number(schema, "minItems"), 1) * self.of(schema.get("items"))

    def _of_object(self, schema: dict[str, Any]) -> Iterator[int]:
        yield from (_JOINT + len(name) + self.of(part) for name, part in schema.get("properties", {}).items())
        yield from (_JOINT + len(str(name)) for name in schema.get("required", ()))
        patterns = schema.get("patternProperties", {}).items()
        others = self.of(schema.get("additionalProperties"))
        each = others + sum(_of_pattern(pattern) + self.of(part) for pattern, part in patterns)
        yield max(_number(schema, "minProperties"), 1) * each + _JOINT * _number(schema, "minProperties")

    def _reference(self, reference: str) -> int:
        name = reference.rpartition("/")[2]
        if name not in self._known:
            self._known[name] = 0  # for what refers to it from within
            self._known[name] = self.of(self._definitions.get(name))
        return self._known[name]


def _of_pattern(pattern: str) -> int:
    """The pattern as long as its repetitions make it, as if each were in all others."""
    return min(len(pattern) * math.prod(max(int(each[:10]), 1) for each in _REPETITION.findall(pattern)), _ENOUGH)


def _number(schema: dict[str, Any], keyword: str) -> int:
    value = schema.get(keyword, 0)
    return int(min(max(value, 0), _ENOUGH)) if isinstance(value, int | float) and not math.isnan(value) else 0
