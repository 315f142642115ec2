"""A JSON schema as grammar rules, for dialects with their own notation for values.

The rules enforce types, enumerations, required and known properties, items, alternatives and the bounds of numbers, but
not patterns or lengths (`unenforced` has the list).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from pensieve.core.dialects.json_rule import json_rule

_MAX_DEPTH: Final = 24
"""Schemas nested more deeply accept any value."""
MAX_BOUND: Final = 256
NUMBER_KEYWORDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_INTEGER: Final = "/-?(0|[1-9][0-9]{0,17})/"
_NUMBER: Final = r"/-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][+-]?[0-9]{1,2})?/"
"""Both limited to what a float, and every JSON parser, can represent."""

Rules = Iterator[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Notation:
    """A notation for values, as parts of a grammar."""

    text: str
    """Any string."""
    literal: Callable[[Any], str]
    """A given value."""
    any_key: str
    """Any key of an object, including the separator from its value."""
    key: Callable[[str], str]
    constants: tuple[str, str, str]
    """True, false and null."""
    separator: str


def value_rules(name: str, schema: Any, notation: Notation) -> Rules:
    """Rules for a value; the first is called `name`. They need those of `anything_rules`."""
    yield from _Writer(notation, schema).value(name, schema, 0)


def anything_rules(notation: Notation) -> Rules:
    """The rule `anything`, for any value in this notation."""
    true, false, null = notation.constants
    member = f"{notation.any_key} anything"
    yield "anything", f"{notation.text} | {_NUMBER} | {true} | {false} | {null} | any_object | any_array"
    yield "any_object", f'"{{" ({member} ("{notation.separator}" {member})*)? "}}"'
    yield "any_array", f'"[" (anything ("{notation.separator}" anything)*)? "]"'


class _Writer:
    def __init__(self, notation: Notation, root: Any) -> None:
        self._notation = notation
        self._root = root
        self._referred: dict[str, str] = {}

    def value(self, name: str, schema: Any, depth: int) -> Rules:
        reference = reference_of(schema)
        if reference is not None:
            if (existing := self._referred.get(reference)) is not None:
                yield name, existing
                return
            self._referred[reference] = name
        schema = resolved(schema, self._root)
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            yield name, "anything"
            return
        choices = choices_of(schema)
        if choices:
            yield name, " | ".join(self._notation.literal(choice) for choice in choices)
            return
        alternatives = alternatives_of(schema)
        if len(alternatives) == 1:
            yield from self._typed(name, alternatives[0], depth)
            return
        yield name, " | ".join(f"{name}_{number}" for number in range(len(alternatives)))
        for number, alternative in enumerate(alternatives):
            yield from self.value(f"{name}_{number}", alternative, depth + 1)

    def _typed(self, name: str, schema: Mapping[str, Any], depth: int) -> Rules:
        true, false, null = self._notation.constants
        match schema.get("type", "object" if schema.get("properties") else None):
            case "string":
                yield name, self._notation.text
            case "integer":
                yield name, number_rule(schema) or _INTEGER
            case "number":
                yield name, number_rule(schema) or _NUMBER
            case "boolean":
                yield name, f"{true} | {false}"
            case "null":
                yield name, null
            case "array":
                yield from self._array(name, schema, depth)
            case "object":
                yield from self._object(name, schema, depth)
            case _:
                yield name, "anything"

    def _array(self, name: str, schema: Mapping[str, Any], depth: int) -> Rules:
        min_items, max_items = item_bounds(schema)
        if max_items == 0:
            yield name, '"[" "]"'
            return
        separated = f'("{self._notation.separator}" {name}_item)'
        more = repeated(separated, max(min_items - 1, 0), None if max_items is None else max_items - 1)
        yield name, f'"[" ({name}_item {more}){"" if min_items else "?"} "]"'
        yield from self.value(f"{name}_item", schema.get("items"), depth + 1)

    def _object(self, name: str, schema: Mapping[str, Any], depth: int) -> Rules:
        properties = properties_of(schema)
        if not properties:
            yield from self._free_object(name, schema, depth)
            return
        yield name, f'"{{" {name}_first_0 "}}"'
        yield from self.members(name, properties, required_of(schema), depth)

    def _free_object(self, name: str, schema: Mapping[str, Any], depth: int) -> Rules:
        others = schema.get("additionalProperties")
        if not isinstance(others, dict):
            yield name, '"{" "}"' if is_closed(schema) else "any_object"
            return
        member = f"{self._notation.any_key} {name}_each"
        yield name, f'"{{" ({member} ("{self._notation.separator}" {member})*)? "}}"'
        yield from self.value(f"{name}_each", others, depth + 1)

    def members(
        self,
        name: str,
        properties: Mapping[str, Any],
        required: Sequence[str],
        depth: int,
        key_text: Callable[[str], str] | None = None,
    ) -> Rules:
        """The rule `{name}_first_0`: the members in order, separated, optional unless required."""
        key_text = key_text or self._notation.key
        for number, (key, schema) in enumerate(properties.items()):
            member, next_ = f"{key_text(key)} {name}_{number}", number + 1
            skip = "" if key in required else f" | {name}_first_{next_}"
            yield f"{name}_first_{number}", f"{member} {name}_more_{next_}{skip}"
            skip = "" if key in required else f" | {name}_more_{next_}"
            yield f"{name}_more_{number}", f'"{self._notation.separator}" {member} {name}_more_{next_}{skip}'
            yield from self.value(f"{name}_{number}", schema, depth + 1)
        yield f"{name}_first_{len(properties)}", '""'
        yield f"{name}_more_{len(properties)}", '""'


def argument_rules(
    name: str,
    schema: Any,
    notation: Notation,
    properties: Mapping[str, Any],
    names: Notation | None = None,
) -> Rules:
    """Rules for a call's arguments without braces, from `{name}_first_0` on; any arguments if no properties are named.

    `names` is the notation of argument names if it differs from that of keys in inner objects.
    """
    names = names or notation
    if not properties:
        if is_closed(schema):
            yield f"{name}_first_0", '""'
            return
        member = f"{names.any_key} anything"
        yield f"{name}_first_0", f'({member} ("{notation.separator}" {member})*)?'
        return
    yield from _Writer(notation, schema).members(name, properties, required_of(schema), 0, names.key)


def resolved(schema: Any, root: Any) -> Any:
    """A schema with its reference followed and its `allOf` merged; None if references form a circle."""
    return _Resolution(root).of(schema, 0)


class _Resolution:
    """Each reference is followed once: a few kilobytes can refer to the same schema in trillions of ways."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[str, Any] = {}

    def of(self, schema: Any, depth: int) -> Any:
        passed: list[str] = []
        while (reference := reference_of(schema)) not in self._known and reference is not None:
            if len(passed) == _MAX_DEPTH:
                return None
            self._known[reference] = None  # for what refers to it from within
            passed.append(reference)
            schema = _pointed_at(reference, self._root)
        if reference is not None:
            schema = self._known[reference]
        elif isinstance(schema, dict) and schema.get("allOf"):
            schema = self._joined(schema, depth)
        self._known.update(dict.fromkeys(passed, schema))
        return schema

    def _joined(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        """Merge `allOf` into a schema: all properties and all required keys."""
        joined = {key: value for key, value in schema.items() if key != "allOf"}
        parts = schema["allOf"] if depth < _MAX_DEPTH and isinstance(schema["allOf"], list) else ()
        for part in (self.of(each, depth + 1) for each in parts):
            if isinstance(part, dict):
                known, named = properties_of(joined), part.get("properties") or {}
                also = {key: value for key, value in properties_of(part).items() if key in named or key not in known}
                properties = {**known, **also}
                required = list(dict.fromkeys((*required_of(joined), *required_of(part))))
                joined = {**joined, **part, "properties": properties, "required": required}
        return joined


def _pointed_at(reference: str, root: Any) -> Any:
    """The target of a JSON pointer (RFC 6901), or None if it is missing or outside the document."""
    if not reference.startswith("#"):
        return None
    target = root
    for part in unquote(reference.removeprefix("#")).split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and key.isdecimal() and int(key) < len(target):
            target = target[int(key)]
        else:
            target = target.get(key) if isinstance(target, dict) else None
    return target


def number_rule(schema: Mapping[str, Any]) -> str:
    """A rule for a number within the bounds of its schema, or "" if it has none. All notations write it as JSON."""
    bounds = {keyword: schema[keyword] for keyword in NUMBER_KEYWORDS if keyword in schema}
    return json_rule({"type": schema["type"], **bounds}) if bounds else ""


def choices_of(schema: Any) -> list[Any]:
    """The values that a schema lists by `enum` or `const`."""
    if not isinstance(schema, dict):
        return []
    return list(schema.get("enum") or ([schema["const"]] if "const" in schema else []))


def reference_of(schema: Any) -> str | None:
    """A schema's reference. Each reference gets one rule, since references may be circular and fan out."""
    reference = schema.get("$ref") if isinstance(schema, dict) else None
    return reference if isinstance(reference, str) else None


def properties_of(schema: Any) -> Mapping[str, Any]:
    """The named properties of an object, including those that are required but not described."""
    if not isinstance(schema, dict):
        return {}
    properties = schema.get("properties")
    found = dict(properties) if isinstance(properties, dict) else {}
    others = schema.get("additionalProperties", True)
    found |= {key: others for key in required_of(schema) if key not in found}
    return {key: value for key, value in found.items() if value is not False}


def item_bounds(schema: Mapping[str, Any]) -> tuple[int, int | None]:
    """The minimum and maximum number of items. None means no maximum; large bounds are not enforced."""
    min_items, max_items = schema.get("minItems", 0), schema.get("maxItems")
    if schema.get("items") is False:
        max_items = 0
    min_items = min_items if isinstance(min_items, int) and min_items <= MAX_BOUND else 0
    is_bounded = isinstance(max_items, int) and min_items <= max_items <= MAX_BOUND
    return min_items, max_items if is_bounded else None


def repeated(rule: str, min_times: int, max_times: int | None) -> str:
    """A rule repeated; empty text for zero times, which the grammar syntax cannot express."""
    return "" if max_times == 0 else f"{rule}{{{min_times},{'' if max_times is None else max_times}}}"


def is_closed(schema: Any) -> bool:
    """Whether an object may have only the named properties."""
    return isinstance(schema, dict) and schema.get("additionalProperties") is False


def required_of(schema: Any) -> tuple[str, ...]:
    """The keys that an object must have. In draft 3 of JSON Schema `required` is a boolean, which is ignored."""
    required = schema.get("required") if isinstance(schema, dict) else None
    return tuple(key for key in required if isinstance(key, str)) if isinstance(required, list) else ()


def alternatives_of(schema: Mapping[str, Any]) -> list[Any]:
    """The schemas of which a value matches one, each with what stands beside them."""
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            beside = {other: part for other, part in schema.items() if other not in (key, "$defs")}
            return [{"allOf": [beside, each]} if beside else each for each in schema[key]]
    if isinstance(schema.get("type"), list) and schema["type"]:
        return [{**schema, "type": kind} for kind in schema["type"]]
    return [schema]
