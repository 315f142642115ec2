"""Validates a JSON schema against the meta-schema of its draft, in time that grows in proportion to it.

Source: the meta-schemas of JSON Schema, from `jsonschema`. The draft is the one that the schema names, else 2020-12.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from typing import Any

from referencing import Registry
from referencing.jsonschema import specification_with

_pause: ContextVar[Callable[[], None]] = ContextVar("pause", default=lambda: None)


def problem_of(schema: Any, pause: Callable[[], None] = lambda: None) -> tuple[tuple[str, ...], str] | None:
    """Path and message of the first error in a schema. `pause` is called every few microseconds."""
    token = _pause.set(pause)
    try:
        error = next(iter(_meta_validator(_validator_for(schema)).iter_errors(schema)), None)
    finally:
        _pause.reset(token)
    if error is None:
        return None
    return tuple(map(str, error.absolute_path)), f"{error.message[:200]}"


def _validator_for(schema: Any) -> Any:
    """The validator of the draft that the schema names. The newest one, for a name that is not text, refuses it."""
    from jsonschema import Draft202012Validator, validators  # noqa: PLC0415 - only needed for schemas

    if not isinstance(schema, dict) or not isinstance(schema.get("$schema"), str):
        return Draft202012Validator
    try:
        return validators.validator_for(schema, default=Draft202012Validator)
    except ValueError:  # not a URL
        return Draft202012Validator


@cache
def _meta_validator(validator: Any) -> Any:
    """Validates schemas of a draft, with pauses, and finds values that occur twice in linear time: jsonschema compares
    all objects in pairs.
    """
    from jsonschema import exceptions, validators  # noqa: PLC0415 - only needed for schemas

    def unique(_validator: Any, wanted: Any, values: Any, _schema: Any) -> Iterator[exceptions.ValidationError]:
        if wanted and isinstance(values, list) and len(set(map(_identity, values))) < len(values):
            yield exceptions.ValidationError("has an item twice")

    has_type = validator.VALIDATORS["type"]

    def type_(*arguments: Any) -> Any:
        _pause.get()()
        return has_type(*arguments)

    linear = validators.extend(validator, {"uniqueItems": unique, "type": type_})  # type: ignore[no-untyped-call]
    return linear(_without_draft(validator.META_SCHEMA), registry=_meta_schemas())


@cache
def _meta_schemas() -> Registry[Any]:
    """All meta-schemas, without the draft that they name: where one refers to another or to itself, jsonschema would go
    on with its own validator for that draft.
    """
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]  # noqa: PLC0415

    contents = [REGISTRY[uri].contents for uri in REGISTRY]
    resources = [specification_with(each["$schema"]).create_resource(_without_draft(each)) for each in contents]
    return (resources @ Registry()).crawl()


def _without_draft(schema: Any) -> Any:
    return {key: part for key, part in schema.items() if key != "$schema"}


def _identity(value: object) -> Hashable:
    """Equal for values that JSON Schema takes as equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, Mapping):
        return "object", frozenset((name, _identity(part)) for name, part in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_identity, value))
    return isinstance(value, bool), value
