"""A tool that takes one of several forms of arguments, such as `anyOf` at the root of its schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pensieve.core.dialects.arguments.value_rules import properties_of, required_of, resolved

MAX_ALTERNATIVES: Final = 32
"""Each has rules of its own for all its arguments."""


def root_alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One schema for each alternative, which says all about its arguments; just the schema if it has none."""
    options = schema.get("anyOf")
    if not isinstance(options, list) or not 0 < len(options) <= MAX_ALTERNATIVES:
        return [schema]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    parts = [resolved(option, schema) for option in options]
    return [_both(rest, part) for part in parts] if all(isinstance(part, dict) for part in parts) else [schema]


def _both(base: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """What both allow. A property that either of them closes out is gone."""
    mine, others = properties_of(base), properties_of(part)
    names = [
        *(name for name in mine if name in others or part.get("additionalProperties") is not False),
        *(name for name in others if name not in mine and base.get("additionalProperties") is not False),
    ]
    is_closed = False in (base.get("additionalProperties"), part.get("additionalProperties"))
    return {
        **base,
        **part,
        "properties": {name: _narrowed(mine.get(name), others.get(name)) for name in names},
        "required": list(dict.fromkeys((*required_of(base), *required_of(part)))),
        **({"additionalProperties": False} if is_closed else {}),
    }


def _narrowed(value: Any, by: Any) -> Any:
    """The schema of a property that has another one in an alternative. Its choices are those of the alternative."""
    if not isinstance(value, dict) or not isinstance(by, dict):
        return by if isinstance(by, dict) else value
    return {**{key: each for key, each in value.items() if key != "enum" or "const" not in by}, **by}
