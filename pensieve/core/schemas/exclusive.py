"""Proves that the schemas of a `oneOf` exclude each other, so that any one of them is exactly one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pensieve.core.schemas.plain import PlainSchema
from pensieve.core.schemas.subschemas import mapped

_MAX_SCHEMAS: Final = 128
_MAX_DEPTH: Final = 6
_ALL_TYPES: Final = frozenset({"null", "boolean", "object", "array", "number", "string"})
_RANGES: Final = {
    "number": ("minimum", "maximum"),
    "string": ("minLength", "maxLength"),
    "array": ("minItems", "maxItems"),
}


def with_proven_choices(plain: PlainSchema) -> None:
    """Make `anyOf` of each `oneOf` whose schemas are proven to exclude each other, which then means the same."""
    _change(plain, lambda schema: _excludes(schema, plain.definitions))


def with_any_of(plain: PlainSchema) -> None:
    """Make `anyOf` of each `oneOf` that is left: it compiles, so llguidance has the proof."""
    _change(plain, lambda schema: "oneOf" in schema)


def _change(plain: PlainSchema, is_proven: Callable[[dict[str, Any]], bool]) -> None:
    def changed(schema: Any, _: object) -> Any:
        if not isinstance(schema, dict):
            return schema
        schema = mapped(schema, changed)
        return as_any_of(schema) if is_proven(schema) else schema

    plain.definitions = {name: changed(each, ()) for name, each in plain.definitions.items()}
    plain.body = changed(plain.body, ())


def as_any_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    changed = {key: part for key, part in schema.items() if key != "oneOf"}
    if "anyOf" not in schema:
        return {**changed, "anyOf": schema["oneOf"]}
    return {**changed, "allOf": [*schema.get("allOf", ()), {"anyOf": schema["oneOf"]}]}


def _excludes(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> bool:
    choices = schema.get("oneOf")
    if not choices or len(choices) > _MAX_SCHEMAS:
        return False
    common = {key: part for key, part in schema.items() if key != "oneOf"}
    proof = _Proof(definitions)
    return all(proof.excludes([common, one], [common, other], 0) for one, other in itertools.combinations(choices, 2))


class _Proof:
    """A value is described by a list of schemas that it satisfies all of."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def excludes(self, one: list[Any], other: list[Any], depth: int) -> bool:
        """Whether no value satisfies both. If in doubt, it is false."""
        if depth > _MAX_DEPTH:
            return False
        one, other = list(self._parts(one, 0)), list(self._parts(other, 0))
        if False in one or False in other:
            return True
        types = _types(one) & _types(other)
        if not types or _values_differ(one, other):
            return True
        if all(self._differ_in(kind, one, other, depth) for kind in types):
            return True
        return self._splits(one, other, depth) or self._splits(other, one, depth)

    def _parts(self, schemas: list[Any], depth: int) -> Iterator[Any]:
        """The schemas, with those that they refer to and those in their allOf."""
        for schema in schemas:
            yield schema
            if isinstance(schema, dict) and depth < _MAX_DEPTH:
                below = list(schema.get("allOf", ()))
                if "$ref" in schema:
                    below.append(self._definitions[schema["$ref"].rpartition("/")[2]])
                yield from self._parts(below, depth + 1)

    def _splits(self, one: list[Any], other: list[Any], depth: int) -> bool:
        """Whether each of the alternatives of one excludes the other."""
        for part in one:
            alternatives = part.get("anyOf") if isinstance(part, dict) else None
            if alternatives and all(self.excludes([each], other, depth + 1) for each in alternatives):
                return True
        return False

    def _differ_in(self, kind: str, one: list[Any], other: list[Any], depth: int) -> bool:
        if kind == "object":
            return self._objects_differ(one, other, depth) or self._objects_differ(other, one, depth)
        if kind not in _RANGES:
            return False
        low, high = _RANGES[kind]
        lowest_of_one, highest_of_one = _range(one, low, high)
        lowest_of_other, highest_of_other = _range(other, low, high)
        return highest_of_one < lowest_of_other or highest_of_other < lowest_of_one

    def _objects_differ(self, one: list[Any], other: list[Any], depth: int) -> bool:
        """Whether a property that one requires is another or none in the other."""
        required = {name for part in one for name in _dict(part).get("required", ())}
        for name in required:
            here, there = _property(one, name), _property(other, name)
            if False in there or (here and there and self.excludes(here, there, depth + 1)):
                return True
        return False


def _dict(schema: Any) -> Mapping[str, Any]:
    return schema if isinstance(schema, dict) else {}


def _property(schemas: list[Any], name: str) -> list[Any]:
    """What the schemas say of this property. Patterns of names may allow anything."""
    found: list[Any] = []
    for schema in map(_dict, schemas):
        if name in schema.get("properties", {}):
            found.append(schema["properties"][name])
        elif "patternProperties" not in schema and "additionalProperties" in schema:
            found.append(schema["additionalProperties"])
    return found


def _types(schemas: list[Any]) -> frozenset[str]:
    types = _ALL_TYPES
    for schema in map(_dict, schemas):
        named = schema.get("type")
        if named is not None:
            named = [named] if isinstance(named, str) else named
            types &= {"number" if each == "integer" else each for each in named}
        values = _values(schema)
        if values is not None:
            types &= {_type_of(value) for value in values}
    return types


def _type_of(value: Any) -> str:
    names = {bool: "boolean", str: "string", list: "array", dict: "object", type(None): "null"}
    return names.get(type(value), "number")


def _values(schema: Mapping[str, Any]) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _values_differ(one: list[Any], other: list[Any]) -> bool:
    listed = [_values(_dict(part)) for part in one], [_values(_dict(part)) for part in other]
    ours, theirs = ([set(map(_text_of, values)) for values in each if values is not None] for each in listed)
    return any(not each & every for each in ours for every in theirs)


def _text_of(value: Any) -> str:
    """Equal for equal JSON values: 1 and 1.0 are one number."""
    match value:
        case float() if value.is_integer():
            return json.dumps(int(value))
        case list():
            return f"[{','.join(map(_text_of, value))}]"
        case dict():
            return f"{{{','.join(f'{json.dumps(key)}:{_text_of(part)}' for key, part in sorted(value.items()))}}}"
        case _:
            return json.dumps(value)


def _range(schemas: list[Any], low: str, high: str) -> tuple[float, float]:
    parts = [_dict(schema) for schema in schemas]
    return (
        max((part[low] for part in parts if low in part), default=float("-inf")),
        min((part[high] for part in parts if high in part), default=float("inf")),
    )
