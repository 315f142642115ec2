"""Every keyword of JSON Schema, from draft 3 to 2020-12, and what becomes of it.

A keyword that is in none of these tables is an annotation: it constrains nothing, as the specification says of keywords
that it does not define.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ENFORCED: Final[Mapping[str, str]] = {
    "type": "",
    "enum": "up to 10,000 values within lists and objects, in the whole schema",
    "const": "as enum, together with it",
    "properties": "up to 2,000 optional ones, written in the order of the schema",
    "required": "up to 5,000 with those that are described",
    "additionalProperties": "",
    "patternProperties": "up to 128 with 16,000 characters in the whole schema, if no key can match two patterns",
    "minProperties": "if every named property is required",
    "maxProperties": "if every named property is required",
    "prefixItems": "",
    "items": "",
    "minItems": "",
    "maxItems": "",
    "minLength": "",
    "maxLength": "",
    "pattern": "without look-around, back-references, word boundaries, and anchors other than at either end; up to "
    "eight patterns and formats of one text",
    "format": "see below",
    "minimum": "up to 9 · 10^18",
    "maximum": "up to 9 · 10^18",
    "exclusiveMinimum": "up to 9 · 10^18",
    "exclusiveMaximum": "up to 9 · 10^18",
    "multipleOf": "up to 10,000 without its decimal point, 100,000 in the whole schema",
    "anyOf": "up to 1,000 alternatives other than values, and combinations with what stands beside it",
    "allOf": "up to 1,000 combinations of what it joins",
    "oneOf": "if its schemas exclude each other by type, values, ranges or a required property; else as anyOf",
    "$ref": "to any place in the same schema",
}
"""Keyword to the condition under which a grammar enforces it."""

REWRITTEN: Final[Mapping[str, str]] = {
    "additionalItems": "as `items`",
    "divisibleBy": "as `multipleOf`",
    "extends": "as `allOf`",
    "propertyNames": "if it has nothing but `enum` or `pattern`, and the object names no properties",
    "unevaluatedProperties": "as `additionalProperties`, without `$ref`, `allOf` and the like beside it",
    "unevaluatedItems": "as `items`, without `$ref`, `allOf` and the like beside it",
}
"""Keyword to how another keyword says the same."""

_CONDITION: Final = "a grammar cannot let one part of a value depend on another"
NOT_ENFORCED: Final[Mapping[str, str]] = {
    "not": "a grammar cannot exclude values",
    "disallow": "a grammar cannot exclude values",
    "if": _CONDITION,
    "then": _CONDITION,
    "else": _CONDITION,
    "dependentRequired": _CONDITION,
    "dependentSchemas": _CONDITION,
    "dependencies": _CONDITION,
    "contains": "a grammar cannot count the items that match a schema",
    "minContains": "a grammar cannot count the items that match a schema",
    "maxContains": "a grammar cannot count the items that match a schema",
    "uniqueItems": "a grammar cannot compare items",
    "propertyNames": "it is only enforced where no properties are named and it has just enum or pattern",
    "unevaluatedProperties": "it is only enforced without $ref, allOf and the like beside it",
    "unevaluatedItems": "it is only enforced without $ref, allOf and the like beside it",
    "$dynamicRef": "what it refers to depends on how the schema is reached",
    "$recursiveRef": "what it refers to depends on how the schema is reached",
}
"""Keyword to the reason why no grammar enforces it."""

FORMATS: Final = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uri", "uuid")
"""The formats that are enforced."""
OTHER_FORMATS: Final = (
    *("idn-email", "idn-hostname", "iri", "iri-reference", "uri-reference", "uri-template"),
    *("json-pointer", "relative-json-pointer", "regex"),
)
"""The formats of JSON Schema that are not enforced. All others constrain nothing."""

MAPS: Final = ("properties", "patternProperties")
LISTS: Final = ("prefixItems", "anyOf", "allOf", "oneOf")
SINGLE: Final = ("additionalProperties", "items")
"""Where the keywords that are enforced have subschemas."""
