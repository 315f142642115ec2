"""Finds schemas that only endless values satisfy: those that require themselves, directly or through others."""

from __future__ import annotations

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


class _Search:
    """The definitions that some finite value satisfies are the least fixed point of these rules."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._finite: set[str] = set()
        self.next_definitions: dict[str, Any] = {}
        while True:
            more = {
                name
                for name, definition in reversed(definitions.items())
                if name not in self._finite and self.is_finite(definition)
            }
            if not more:
                break
            self._finite |= more

    def is_finite(self, schema: Any) -> bool:
        if not isinstance(schema, dict):
            return schema is not False
        if "$ref" in schema and schema["$ref"].rpartition("/")[2] not in self._finite:
            return False
        choices = [schema[key] for key in ("anyOf", "oneOf") if schema.get(key)]
        if not all(any(map(self.is_finite, each)) for each in choices):
            return False
        return all(map(self.is_finite, schema.get("allOf", ()))) and self._has_value(schema)

    def _has_value(self, schema: dict[str, Any]) -> bool:
        kinds = schema.get("type", "any")
        kinds = {kinds} if isinstance(kinds, str) else set(kinds)
        if "enum" in schema or "const" in schema or kinds - {"object", "array"}:
            return True
        return ("object" in kinds and self._has_object(schema)) or ("array" in kinds and self._has_array(schema))

    def _has_object(self, schema: dict[str, Any]) -> bool:
        properties = schema.get("properties", {})
        return all(self.is_finite(properties[name]) for name in schema.get("required", ()) if name in properties)

    def _has_array(self, schema: dict[str, Any]) -> bool:
        first, min_items = schema.get("prefixItems", []), schema.get("minItems", 0)
        needs_more = isinstance(min_items, int) and min_items > len(first)
        return all(map(self.is_finite, first[:min_items])) and (
            not needs_more or self.is_finite(schema.get("items", True))
        )
