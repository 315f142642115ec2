"""How many alternatives a schema has once those that stand beside each other are combined."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

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


class _Count:
    """`most` is that of the part with the most."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._definitions = definitions
        self._known: dict[str, int] = {}
        self.most = 1

    def of(self, schema: Any) -> int:
        """The alternatives of a schema, up to one more than allowed."""
        if not isinstance(schema, dict):
            return 1
        number = self._of_reference(schema["$ref"]) if "$ref" in schema else 1
        for choices in (schema[key] for key in _CHOICES if schema.get(key)):
            number *= sum(map(self.of, choices))
        for part in schema.get("allOf", ()):
            number *= self.of(part)
        for part in _inner(schema):
            self.of(part)
        number = min(number, MAX_COMBINATIONS + 1)
        is_combined = "allOf" in schema or len(schema.keys() - _FREE) > 1
        if is_combined and not schema.keys().isdisjoint(_JOINED):
            self.most = max(self.most, number)
        return number

    def _of_reference(self, reference: str) -> int:
        name = reference.rpartition("/")[2]
        if name not in self._known:
            self._known[name] = 1  # for what refers to it from within
            self._known[name] = self.of(self._definitions.get(name))
        return self._known[name]


def _inner(schema: dict[str, Any]) -> Iterator[Any]:
    """The schemas of what a value contains."""
    for key in _MAPS:
        yield from schema.get(key, {}).values()
    yield from schema.get("prefixItems", ())
    yield from (schema[key] for key in ("items", "additionalProperties") if key in schema)
