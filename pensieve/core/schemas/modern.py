"""A schema's keywords as draft 2020-12 writes them, where they say exactly the same.

Only one level: subschemas stay as they are. Sources: JSON Schema's migration guides from draft 4 to 2020-12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_BESIDE: Final = frozenset(
    {"$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas"}
)
"""Keywords that evaluate properties and items, so that those are not unevaluated."""
_MAX_INTEGER: Final = 2**63 - 2**10
"""The largest integer bound that is exact as a float: llguidance reads numbers as such and compares them in 64 bits."""
_MAX_FLOAT: Final = 1.797e308
"""A bound beyond every number that a JSON parser returns."""
_PARTNERS: Final = ("then", "else", "minContains", "maxContains")
"""Alone they mean nothing; beside `if` or `contains` they are named with it."""
_VACUOUS: Final[Mapping[str, tuple[object, ...]]] = {
    "not": (False,),
    "uniqueItems": (False,),
    "type": ("any",),
    **dict.fromkeys(("dependentRequired", "dependentSchemas", "dependencies"), ({},)),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), (True, {})),
}
"""Values with which a keyword constrains nothing."""
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_COUNTS: Final = ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties")


def modern(schema: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(schema)
    _rename(found)
    _tuple_items(found)
    _numbers(found)
    _names(found)
    _unevaluated(found)
    for keyword in [keyword for keyword in found if _is_vacuous(keyword, found)]:
        del found[keyword]
    return found


def _rename(found: dict[str, Any]) -> None:
    if "divisibleBy" in found:
        found.setdefault("multipleOf", found.pop("divisibleBy"))
    if "extends" in found:
        parents = found.pop("extends")
        parents = parents if isinstance(parents, list) else [parents]
        found["allOf"] = [*found.get("allOf", ()), *parents]
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(found.get(exclusive), bool) and found.pop(exclusive) and bound in found:
            found[exclusive] = found.pop(bound)


def _tuple_items(found: dict[str, Any]) -> None:
    if isinstance(found.get("items"), list):
        found["prefixItems"] = found.pop("items")
        if "additionalItems" in found:
            found["items"] = found["additionalItems"]
    found.pop("additionalItems", None)


def _numbers(found: dict[str, Any]) -> None:
    for keyword in _COUNTS:
        if isinstance(found.get(keyword), float) and found[keyword].is_integer():
            found[keyword] = int(found[keyword])
    for keyword in _BOUNDS:
        bound = found.get(keyword)
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            continue
        if abs(bound) >= _MAX_FLOAT:
            if (bound > 0) == keyword.lower().endswith("maximum"):
                del found[keyword]
        elif found.get("type") == "integer":
            found[keyword] = max(-_MAX_INTEGER, min(bound, _MAX_INTEGER))


def _names(found: dict[str, Any]) -> None:
    """`propertyNames` as `properties` or `patternProperties`, for an object that names none."""
    names = found.get("propertyNames")
    if isinstance(names, bool):
        found["propertyNames"] = {} if names else {"enum": []}
    if not isinstance(names, dict):
        return
    constraints = {key: part for key, part in names.items() if key not in ("type", "title", "description", "$schema")}
    others = found.get("additionalProperties", True)
    if names.get("type", "string") == "string" and not constraints:
        del found["propertyNames"]
    elif found.get("properties") or found.get("patternProperties") or len(constraints) != 1:
        return
    elif isinstance(enum := constraints.get("enum"), list) and all(isinstance(each, str) for each in enum):
        del found["propertyNames"]
        found |= {"properties": dict.fromkeys(enum, others), "additionalProperties": False}
    elif isinstance(pattern := constraints.get("pattern"), str):
        del found["propertyNames"]
        found |= {"patternProperties": {pattern: others}, "additionalProperties": False}


def _unevaluated(found: dict[str, Any]) -> None:
    if "additionalProperties" in found:
        found.pop("unevaluatedProperties", None)
    if "items" in found:
        found.pop("unevaluatedItems", None)
    if found.keys() & _BESIDE:
        return
    if "unevaluatedProperties" in found:
        found["additionalProperties"] = found.pop("unevaluatedProperties")
    if "unevaluatedItems" in found and "contains" not in found:
        found["items"] = found.pop("unevaluatedItems")


def _is_vacuous(keyword: str, schema: Mapping[str, Any]) -> bool:
    """Whether a keyword constrains nothing here."""
    if keyword == "contains":
        return schema.get("minContains") == 0 and "maxContains" not in schema
    if keyword == "if":
        return "then" not in schema and "else" not in schema
    return keyword in _PARTNERS or any(schema[keyword] == each for each in _VACUOUS.get(keyword, ()))
