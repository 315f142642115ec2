"""The types of content blocks that the official SDK knows, with everything that can stand inside them."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

_NOT_CONTENT = {"cache_control", "caller", "citations", "definition", "input_schema", "transformations", "trigger"}
"""Fields that are not text for the model, and the definition of a tool, which is a subject of its own."""


def block_types(union: Any) -> set[str]:
    """The types of the blocks in a union such as the SDK's ContentBlockParam."""
    return {kind for part in _members(union) for kind in _own_types(part)}


def types_within(union: Any) -> set[str]:
    """The types of the blocks in a union and of all results, sources and errors within them."""
    found: set[str] = set()
    open_parts, seen = list(_members(union)), set()
    while open_parts:
        part = open_parts.pop()
        if id(part) not in seen:
            seen.add(id(part))
            found |= _own_types(part)
            fields = _fields(part).items()
            open_parts += [inner for name, hint in fields if name not in _NOT_CONTENT for inner in _members(hint)]
    return found


def _members(hint: Any) -> Iterator[Any]:
    """The classes with fields in a type hint, without the unions and lists around them."""
    if is_typeddict(hint) or (isinstance(hint, type) and issubclass(hint, BaseModel)):
        yield hint
    elif get_origin(hint) is Annotated:
        yield from _members(get_args(hint)[0])
    elif get_origin(hint) is not Literal:
        for part in get_args(hint):
            if part is not NoneType:
                yield from _members(part)


def _fields(part: Any) -> dict[str, Any]:
    if is_typeddict(part):
        return get_type_hints(part)
    return {name: field.annotation for name, field in part.model_fields.items()}


def _own_types(part: Any) -> set[str]:
    return {kind for kind in get_args(_fields(part).get("type")) if isinstance(kind, str)}
