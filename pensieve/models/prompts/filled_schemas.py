"""Adds optional schema keys for templates that require them, such as those of Command R+ and Seed-OSS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

FILLED_KEYS: Final = ("description", "additionalProperties", "properties")


def filled_schema(value: Any) -> Any:
    """A tool's JSON in which the parameters have properties, every argument has a description, and every object
    argument has additionalProperties.

    Missing ones get their defaults, at every depth.
    """
    match value:
        case {"parameters": {"type": "object"} as parameters} if "properties" not in parameters:
            return filled_schema({**value, "parameters": {**parameters, "properties": {}}})
        case {"properties": dict() as properties}:
            inner = {key: _with_defaults(filled_schema(part)) for key, part in properties.items()}
            return {**{key: filled_schema(part) for key, part in value.items()}, "properties": inner}
        case dict():
            return {key: filled_schema(part) for key, part in value.items()}
        case list():
            return [filled_schema(part) for part in value]
        case _:
            return value


def _with_defaults(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    defaults: dict[str, Any] = {"additionalProperties": {}} if schema.get("type") == "object" else {}
    return {"description": "", **defaults, **schema}
