"""Arguments as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from pensieve.core.dialects.json_rule import json_rule
from pensieve.core.dialects.marks import Marks

_DECODER: Final = json.JSONDecoder(strict=False)
"""Models write unescaped line ends and tabs inside strings, which strict JSON forbids."""


def read_value(text: str, at: int, marks: Marks) -> tuple[Any, int]:
    """The JSON value at `at`, and the offset after it.

    Raises:
        ValueError: the value is missing or incomplete.
    """
    value, end = _DECODER.raw_decode(text, at)
    return marks.plain_in(value), end


def read(text: str, at: int, schema: Any, marks: Marks) -> tuple[dict[str, Any], int]:  # noqa: ARG001
    """
    Raises:
        ValueError: `text` has no complete object at `at`.
    """
    value, end = read_value(text, at, marks)
    if isinstance(value, str):  # some templates write the object as a JSON string
        value = json.loads(value)
    if not isinstance(value, dict):
        raise ValueError("arguments must be an object")  # noqa: TRY004 - the model's error, not the caller's
    return value, end


def rules(name: str, schema: Any, marks: Marks) -> Iterator[tuple[str, str]]:  # noqa: ARG001
    yield name, json_rule(schema)


def write(arguments: dict[str, Any], marks: Marks) -> str:  # noqa: ARG001
    return json.dumps(arguments, ensure_ascii=False)
