"""Finds schemas that only endless values satisfy: those that require themselves, directly or through others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pensieve.core.schemas.plain import PlainSchema
from pensieve.core.schemas.subschemas import Path, mapped, possible

_ENDLESS = "it requires itself without end, or a part that nothing satisfies"


def without_endless_parts(plain: PlainSchema) -> None:
    """Make `false` of each part that no finite value satisfies, which changes nothing about the values."""
    search = _Search(plain.definitions)

    def pruned(schema: Any, path: Path) -> Any:
        if isinstance(schema, bool):
            return schema
        if not search.is_finite(schema):
            plain.contradict(path, _ENDLESS)
            return False
        return possible(mapped(schema, lambda part, below: pruned(part, (*path, *below))))

    for name, definition in list(plain.definitions.items()):
        search.next_definitions[name] = pruned(definition, plain.places[name])
    plain.body = pruned(plain.body, ())
    plain.definitions.update(search.next_definitions)


class _Condition:
    """That `missing` more parts have a finite value. Once none is missing, it is one part of `whole` that has."""

    __slots__ = ("missing", "name", "whole")

    def __init__(self, whole: _Condition | None = None, *, name: str | None = None, missing: int = 1) -> None:
        self.whole = whole
        self.name = name
        """Of the definition that it is the condition of."""
        self.missing = missing


class _Conditions:
    """Each part of a definition is looked at once, and again only when what it waits for turns out to be finite."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self.finite: set[str] = set()
        self._waiting: dict[str, list[_Condition]] = {}
        for name, definition in definitions.items():
            self._add(definition, _Condition(name=name))

    def _add(self, schema: Any, condition: _Condition) -> None:
        """Let the condition, which has one part so far, wait for all that the schema needs."""
        if schema is False:
            return
        if isinstance(schema, dict):
            if "$ref" in schema:
                self._refer(schema["$ref"].rpartition("/")[2], condition)
            for choices in (schema[key] for key in ("anyOf", "oneOf") if schema.get(key)):
                self._require_one([[choice] for choice in choices], condition)
            self._require(schema.get("allOf", ()), condition)
            self._require_one(list(_needs(schema)), condition)
        self._met(condition)

    def _refer(self, name: str, condition: _Condition) -> None:
        if name not in self.finite:
            condition.missing += 1
            self._waiting.setdefault(name, []).append(condition)

    def _require(self, schemas: Iterable[Any], condition: _Condition) -> None:
        for schema in schemas:
            condition.missing += 1
            self._add(schema, _Condition(condition))

    def _require_one(self, alternatives: list[list[Any]], condition: _Condition) -> None:
        condition.missing += 1
        one = _Condition(condition)
        for schemas in alternatives:
            every = _Condition(one)
            self._require(schemas, every)
            self._met(every)

    def _met(self, condition: _Condition) -> None:
        """A part of the condition has a finite value; then what waited for that may have one."""
        met = [condition]
        while met:
            current = met.pop()
            current.missing -= 1
            if current.missing:
                continue
            if current.whole is not None:
                met.append(current.whole)
            if current.name is not None:
                self.finite.add(current.name)
                met += self._waiting.pop(current.name, ())


def _needs(schema: dict[str, Any]) -> Iterator[list[Any]]:
    """For each kind of value that a schema allows, the schemas of what such a value must contain."""
    kinds = schema.get("type", "any")
    kinds = {kinds} if isinstance(kinds, str) else set(kinds)
    if "enum" in schema or "const" in schema or kinds - {"object", "array"}:
        yield []
        return
    if "object" in kinds:
        properties = schema.get("properties", {})
        yield [properties[name] for name in schema.get("required", ()) if name in properties]
    if "array" in kinds:
        first, min_items = schema.get("prefixItems", []), schema.get("minItems", 0)
        needs_more = isinstance(min_items, int) and min_items > len(first)
        yield [*first[:min_items], *([schema.get("items", True)] if needs_more else [])]


class _Search:
    """The definitions that some finite value satisfies are the least fixed point of these rules."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._finite = _Conditions(definitions).finite
        self.next_definitions: dict[str, Any] = {}

    def is_finite(self, schema: Any) -> bool:
        if not isinstance(schema, dict):
            return schema is not False
        if "$ref" in schema and schema["$ref"].rpartition("/")[2] not in self._finite:
            return False
        choices = [schema[key] for key in ("anyOf", "oneOf") if schema.get(key)]
        if not all(any(map(self.is_finite, each)) for each in choices):
            return False
        has_value = any(all(map(self.is_finite, needed)) for needed in _needs(schema))
        return has_value and all(map(self.is_finite, schema.get("allOf", ())))
