"""Tools for templates that want a description of every argument, as Command R+'s does: clients may leave it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def described(value: Any) -> Any:
    """A tool's JSON with an empty description for each argument that has none, at every depth."""
    match value:
        case {"properties": dict() as properties}:
            inner = {key: _with_description(described(part)) for key, part in properties.items()}
            return {**{key: described(part) for key, part in value.items()}, "properties": inner}
        case dict():
            return {key: described(part) for key, part in value.items()}
        case list():
            return [described(part) for part in value]
        case _:
            return value


def _with_description(schema: Any) -> Any:
    return {"description": "", **schema} if isinstance(schema, Mapping) else schema
