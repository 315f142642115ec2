"""Validates the JSON schemas that clients send (W14, W16).

Source: the meta-schemas of JSON Schema, from `jsonschema`. The draft is the one that the schema names, else 2020-12.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from pensieve.core.errors import ValidationError


def require_schema(schema: object, field: str) -> str:
    """The schema as text, which is the form that the engine takes.

    Raises:
        ValidationError: it is not a valid JSON schema; the message starts with the path of the error in it.
    """
    try:
        text = json.dumps(schema, ensure_ascii=False)
        problem = _problem(text)
    except RecursionError as error:
        raise ValidationError(field, "nests too deeply: define its parts in $defs and refer to them") from error
    if problem is not None:
        path, sentence = problem
        raise ValidationError(".".join([field, *path]), f"not a valid JSON schema: {sentence}")
    return text


@lru_cache(maxsize=512)
def _problem(text: str) -> tuple[tuple[str, ...], str] | None:
    """Path and message of the first error in a schema. Cached, because clients send the same tools every time."""
    schema = json.loads(text)
    validator = _validator_for(schema)
    error = next(iter(validator(validator.META_SCHEMA).iter_errors(schema)), None)
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
