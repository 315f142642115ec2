"""Validates the JSON schemas that clients send (W14, W16).

Source: the meta-schemas of JSON Schema, from `jsonschema`. The draft is the one that the schema names, else 2020-12.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from typing import Any, Final

from pensieve.core.errors import ValidationError

MAX_REMEMBERED: Final = 4096


def require_schema(schema: object, field: str) -> str:
    """The schema as text, which is the form that the engine takes.

    Raises:
        ValidationError: it is not a valid JSON schema; the message starts with the path of the error in it.
    """
    try:
        text = json.dumps(schema, ensure_ascii=False)
        problem = None if text in _valid_schemas else _problem(text)
    except RecursionError as error:
        raise ValidationError(field, "nests too deeply: define its parts in $defs and refer to them") from error
    if problem is not None:
        path, sentence = problem
        raise ValidationError(".".join([field, *path]), f"not a valid JSON schema: {sentence}")
    _valid_schemas.add(text)
    return text


class ValidSchemas:
    """The most recently used valid schemas, since clients send the same tools every time. Any thread may use it.

    It keeps their hashes: a schema may be as long as a body.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hashes: OrderedDict[bytes, None] = OrderedDict()

    def __contains__(self, text: str) -> bool:
        return _hash(text) in self._hashes

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, text: str) -> None:
        with self._lock:
            self._hashes[_hash(text)] = None
            self._hashes.move_to_end(_hash(text))
            if len(self._hashes) > MAX_REMEMBERED:
                self._hashes.popitem(last=False)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


_valid_schemas = ValidSchemas()


def _problem(text: str) -> tuple[tuple[str, ...], str] | None:
    """Path and message of the first error in a schema."""
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
