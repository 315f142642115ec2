"""Schemas for templates that insist on keys which a schema may leave out, as Command R+'s does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def filled_schema(value: Any) -> Any:
    """A tool's JSON, with an empty description for each argument that has none, and with the additionalProperties that
    an object has where it does not say, at every depth.
    """
    match value:
        case {"properties": dict() as properties}:
            inner = {key: _argument(filled_schema(part)) for key, part in properties.items()}
            return {**{key: filled_schema(part) for key, part in value.items()}, "properties": inner}
        case dict():
            return {key: filled_schema(part) for key, part in value.items()}
        case list():
            return [filled_schema(part) for part in value]
        case _:
            return value


def _argument(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    free: dict[str, Any] = {"additionalProperties": {}} if schema.get("type") == "object" else {}
    return {"description": "", **free, **schema}
