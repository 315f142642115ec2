"""The subschemas of a plain schema: one that has only keywords which can be enforced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pensieve.core.schemas.keywords import LISTS, MAPS, SINGLE

Path = tuple[str, ...]


def children(schema: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Each direct subschema with its path."""
    for key, part in schema.items():
        if key in MAPS:
            yield from (((key, name), each) for name, each in part.items())
        elif key in LISTS:
            yield from (((key, str(number)), each) for number, each in enumerate(part))
        elif key in SINGLE:
            yield (key,), part


def mapped(schema: Mapping[str, Any], change: Callable[[Any, Path], Any]) -> dict[str, Any]:
    """The schema with each direct subschema as `change` returns it, given the subschema and its path."""

    def changed(key: str, part: Any) -> Any:
        if key in MAPS:
            return {name: change(each, (key, name)) for name, each in part.items()}
        if key in LISTS:
            return [change(each, (key, str(number))) for number, each in enumerate(part)]
        return change(part, (key,)) if key in SINGLE else part

    return {key: changed(key, part) for key, part in schema.items()}


def possible(schema: dict[str, Any]) -> Any:
    """The schema without alternatives that no value satisfies; false if it has no other."""
    for key in ("anyOf", "oneOf"):
        if False in schema.get(key, ()):
            left = [each for each in schema[key] if each is not False]
            if not left:
                return False
            schema = {**schema, key: left}
    return schema
