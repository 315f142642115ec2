"""Validates the JSON schemas that clients send (W14, W16).

Source: the meta-schemas of JSON Schema, from `jsonschema`. The draft is the one that the schema names, else 2020-12.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pensieve.core.errors import ValidationError

MAX_TOOLS: Final = 512
MAX_CHARACTERS: Final = 500_000
"""Of a schema. It takes 3 s to check; the schemas of real tools have up to 200,000 characters."""
MAX_TOTAL_CHARACTERS: Final = 2_000_000
"""Of the schemas of all tools of a request."""
MAX_DEPTH: Final = 64
"""Of objects and lists in each other. A property of an object nests two deeper than the object."""
MAX_VALUES: Final = 10_000
"""Of an enum."""
MAX_REMEMBERED: Final = 4096


def require_schema(schema: object, field: str) -> str:
    """The schema as text, which is the form that the engine takes.

    Raises:
        ValidationError: it is too large, or not a valid JSON schema; the message starts with the path of the error.
    """
    try:
        text = json.dumps(schema, ensure_ascii=False)
    except RecursionError:
        raise _too_deep(field) from None
    if len(text) > MAX_CHARACTERS:
        raise ValidationError(
            field, f"has {len(text)} characters as JSON, more than {MAX_CHARACTERS}: send a smaller schema"
        )
    _require_small(schema, field)
    problem = None if text in _valid_schemas else _problem(text)
    if problem is not None:
        path, sentence = problem
        raise ValidationError(".".join([field, *path]), f"not a valid JSON schema: {sentence}")
    _valid_schemas.add(text)
    return text


@dataclass(slots=True)
class ToolTotals:
    """The tools that a request has so far, and the characters of their schemas."""

    num_tools: int = 0
    num_characters: int = 0

    def add(self, schemas: Sequence[object], field: str) -> None:
        """
        Raises:
            ValidationError: there are too many tools, or their schemas are too large together.
        """
        self.num_tools += len(schemas)
        if self.num_tools > MAX_TOOLS:
            raise ValidationError(field, f"the request has {self.num_tools} tools, more than {MAX_TOOLS}: send fewer")
        self.num_characters += sum(len(json.dumps(schema, ensure_ascii=False)) for schema in schemas)
        if self.num_characters > MAX_TOTAL_CHARACTERS:
            raise ValidationError(
                field,
                f"the schemas of all tools have {self.num_characters} characters, more than {MAX_TOTAL_CHARACTERS}: "
                "send fewer or smaller tools",
            )


def _require_small(schema: object, field: str) -> None:
    level = [schema]
    for _ in range(MAX_DEPTH):
        for part in level:
            values = part.get("enum") if isinstance(part, dict) else None
            if isinstance(values, list) and len(values) > MAX_VALUES:
                raise ValidationError(field, f"has an enum of {len(values)} values, more than {MAX_VALUES}: send fewer")
        level = [child for part in level for child in _parts(part)]
        if not level:
            return
    raise _too_deep(field)


def _parts(value: object) -> list[Any]:
    """What nests in a value."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [part for part in parts if isinstance(part, dict | list)]


def _too_deep(field: str) -> ValidationError:
    return ValidationError(
        field, f"nests too deeply, in more than {MAX_DEPTH} levels: define its parts in $defs and refer to them"
    )


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
    error = next(iter(_linear(validator)(validator.META_SCHEMA).iter_errors(schema)), None)
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


def _linear(validator: Any) -> Any:
    """The validator, which finds values that occur twice in linear time: jsonschema compares all objects in pairs."""
    from jsonschema import exceptions, validators  # noqa: PLC0415 - only needed for schemas

    def unique(_validator: Any, wanted: Any, values: Any, _schema: Any) -> Iterator[exceptions.ValidationError]:
        if wanted and isinstance(values, list) and len(set(map(_identity, values))) < len(values):
            yield exceptions.ValidationError("has an item twice")

    return validators.extend(validator, {"uniqueItems": unique})  # type: ignore[no-untyped-call]


def _identity(value: object) -> Hashable:
    """Equal for values that JSON Schema takes as equal: 1 and 1.0, but not 1 and true."""
    if isinstance(value, Mapping):
        return "object", frozenset((name, _identity(part)) for name, part in value.items())
    if isinstance(value, list):
        return "array", tuple(map(_identity, value))
    return isinstance(value, bool), value
