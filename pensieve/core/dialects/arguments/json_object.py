"""Arguments as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from pensieve.core.dialects.json_rule import json_rule
from pensieve.core.dialects.marks import Marks

_DECODER: Final = json.JSONDecoder(strict=False)
"""Line ends and tabs inside of strings are what models write, though JSON wants them escaped."""


def read_value(text: str, at: int, marks: Marks) -> tuple[Any, int]:
    """The JSON value that begins at `at`, and where it ends.

    Raises:
        ValueError: there is none, or it is not whole.
    """
    value, end = _DECODER.raw_decode(text, at)
    return marks.plain_in(value), end


def read(text: str, at: int, schema: Any, marks: Marks) -> tuple[dict[str, Any], int]:  # noqa: ARG001
    """
    Raises:
        ValueError: there is no whole object at `at`.
    """
    value, end = read_value(text, at, marks)
    if isinstance(value, str):  # some templates write the object as the text of its JSON
        value = json.loads(value)
    if not isinstance(value, dict):
        raise ValueError("arguments are an object")  # noqa: TRY004 - of what the model wrote, not of this call
    return value, end


def rules(name: str, schema: Any, marks: Marks, *, lenient: bool) -> Iterator[tuple[str, str]]:  # noqa: ARG001
    yield name, json_rule(schema, lenient=lenient)


def write(arguments: dict[str, Any], marks: Marks) -> str:  # noqa: ARG001
    return json.dumps(arguments, ensure_ascii=False)
