"""Validates the JSON schemas that clients send, and bounds their size (W14, W16)."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pensieve.api.http.schemas.thread_turns import ThreadTurns
from pensieve.core.errors import ValidationError
from pensieve.core.schemas.meta_schemas import problem_of

MAX_TOOLS: Final = 512
MAX_CHARACTERS: Final = 500_000
"""Of a schema. The schemas of real tools have up to 200,000 characters."""
MAX_PARTS: Final = 20_000
"""Objects and booleans of a schema, except in its enums, constants and examples. Each may be a schema, which takes 0.15
ms to check.
"""
MAX_QUICK_PARTS: Final = 40
"""Schemas with more are checked in turns, and never on the event loop."""
MAX_TOTAL_PARTS: Final = 40_000
"""Of the schemas of all tools of a request."""
MAX_TOTAL_CHARACTERS: Final = 2_000_000
"""Of the schemas of all tools of a request."""
MAX_DEPTH: Final = 64
"""Of objects and lists in each other. A property of an object nests two deeper than the object."""
MAX_VALUES: Final = 10_000
"""Of an enum."""
MAX_REMEMBERED: Final = 4096
_VALUES: Final = ("enum", "const", "default", "examples")


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
    num_parts = _require_small(schema, field)
    problem = None if text in _valid_schemas else _problem(text, num_parts)
    if problem is not None:
        path, sentence = problem
        raise ValidationError(".".join([field, *path]), f"not a valid JSON schema: {sentence}")
    _valid_schemas.add(text)
    return text


@dataclass(slots=True)
class ToolTotals:
    """The tools that a request has so far, and the characters, objects and booleans of their schemas."""

    num_tools: int = 0
    num_characters: int = 0
    num_parts: int = 0

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
        self.num_parts += sum(map(_num_parts, schemas))
        if self.num_parts > MAX_TOTAL_PARTS:
            raise ValidationError(
                field,
                f"the schemas of all tools have {self.num_parts} objects and booleans, more than {MAX_TOTAL_PARTS}: "
                "send fewer or smaller tools",
            )


def _problem(text: str, num_parts: int) -> tuple[tuple[str, ...], str] | None:
    if num_parts <= MAX_QUICK_PARTS:  # it may be on the event loop, which must not wait for a turn
        return problem_of(json.loads(text))
    return _turns.run(lambda pause: problem_of(json.loads(text), pause))


def _require_small(schema: object, field: str) -> int:
    """The number of its parts."""
    level = [schema]
    for _ in range(MAX_DEPTH):
        for part in level:
            values = part.get("enum") if isinstance(part, dict) else None
            if isinstance(values, list) and len(values) > MAX_VALUES:
                raise ValidationError(field, f"has an enum of {len(values)} values, more than {MAX_VALUES}: send fewer")
        level = [child for part in level for child in _parts(part)]
        if not level:
            break
    else:
        raise _too_deep(field)
    num_parts = _num_parts(schema)
    if num_parts > MAX_PARTS:
        raise ValidationError(field, f"has {num_parts} objects and booleans, more than {MAX_PARTS}: send less")
    return num_parts


def _num_parts(schema: object) -> int:
    """Those that may be schemas."""
    num_parts, waiting = 0, [schema]
    while waiting:
        part = waiting.pop()
        num_parts += isinstance(part, dict | bool)
        waiting += _values_in(_without_lists_of_values(part) if isinstance(part, dict) else part)
    return num_parts


def _without_lists_of_values(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: part for key, part in schema.items() if key not in _VALUES or not isinstance(part, list)}


def _parts(value: object) -> list[Any]:
    """What nests in a value."""
    return [part for part in _values_in(value) if isinstance(part, dict | list)]


def _values_in(value: object) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


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
_turns = ThreadTurns()
