"""How many alternatives a schema has once those that stand beside each other are combined."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any, Final, NamedTuple

MAX_COMBINATIONS: Final = 1000
"""llguidance 1.9 writes each of them out: a kilobyte of `anyOf` within `allOf` would take all memory."""
_CHOICES: Final = ("anyOf", "oneOf")
_JOINED: Final = ("allOf", "$ref", *_CHOICES)
_MAPS: Final = ("properties", "patternProperties", "$defs")
_FREE: Final = frozenset({"$defs", "$schema"})


def has_too_many_combinations(schema: Any) -> bool:
    """References must lead to `$defs`."""
    if not isinstance(schema, dict):
        return False
    count = _Count(schema.get("$defs", {}))
    count.of(schema)
    return count.most > MAX_COMBINATIONS


class _Alternatives(NamedTuple):
    """Of one schema, up to one more than allowed: those of choices alone, and with the values of enums.

    Values cost little unless they are combined: two enums beside each other are compared pair by pair.
    """

    choices: int = 1
    with_values: int = 1

    def beside(self, other: _Alternatives) -> _Alternatives:
        return _bounded(self.choices * other.choices, self.with_values * other.with_values)


def _bounded(choices: int, with_values: int) -> _Alternatives:
    return _Alternatives(min(choices, MAX_COMBINATIONS + 1), min(with_values, MAX_COMBINATIONS + 1))


class _Count:
    """`most` is that of the part with the most."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._known: dict[str, _Alternatives] = {}
        self.most = 1

    def of(self, schema: Any) -> _Alternatives:
        if not isinstance(schema, dict):
            return _Alternatives()
        factors = list(self._factors(schema))
        for part in _inner(schema):
            self.of(part)
        number = reduce(_Alternatives.beside, factors, _Alternatives())
        is_combined = "allOf" in schema or len(schema.keys() - _FREE) > 1
        if is_combined and not schema.keys().isdisjoint(_JOINED):
            several = sum(factor.with_values > 1 for factor in factors) > 1
            self.most = max(self.most, number.with_values if several else number.choices)
        return number

    def _factors(self, schema: dict[str, Any]) -> Iterator[_Alternatives]:
        """What stands beside each other."""
        if "$ref" in schema:
            yield self._of_reference(schema["$ref"])
        if schema.get("enum"):
            yield _bounded(1, len(schema["enum"]))
        for choices in (schema[key] for key in _CHOICES if schema.get(key)):
            found = [self.of(choice) for choice in choices]
            yield _bounded(sum(each.choices for each in found), sum(each.with_values for each in found))
        yield from map(self.of, schema.get("allOf", ()))

    def _of_reference(self, reference: str) -> _Alternatives:
        name = reference.rpartition("/")[2]
        if name not in self._known:
            self._known[name] = _Alternatives()  # for what refers to it from within
            self._known[name] = self.of(self._definitions.get(name))
        return self._known[name]


def _inner(schema: dict[str, Any]) -> Iterator[Any]:
    """The schemas of what a value contains."""
    for key in _MAPS:
        yield from schema.get(key, {}).values()
    yield from schema.get("prefixItems", ())
    yield from (schema[key] for key in ("items", "additionalProperties") if key in schema)
