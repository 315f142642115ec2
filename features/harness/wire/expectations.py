"""Assertions that report what was expected and what the server sent."""

from __future__ import annotations

import json
from typing import Any, NoReturn

_MAX_SHOWN_LENGTH = 600


class TargetGoneError(Exception):
    """The server refuses connections although it was up when the run began, so the scenario cannot be judged."""


class JsonObject(dict[str, Any]):
    """A JSON object from a server. Reading a missing field fails the scenario instead of raising KeyError."""

    def __missing__(self, name: str) -> NoReturn:
        raise AssertionError(f"expected a field {name}\n  actual {shown(dict(self))}")


def read_json(text: str | bytes) -> Any:
    """Parsed JSON, with objects as `JsonObject`.

    Raises:
        ValueError: the text is not JSON.
    """
    return json.loads(text, object_pairs_hook=JsonObject)


def expect_equal(actual: object, expected: object, what: str) -> None:
    """Fail unless the two are equal and have the same JSON type: true is not 1."""
    if actual != expected or _json_type(actual) is not _json_type(expected):
        raise AssertionError(f"expected {what} to be {shown(expected)}\n  actual {shown(actual)}")


def expect_that(holds: object, expected: str, actual: object) -> None:
    """Fail unless `holds` is true. `expected` completes the sentence "expected …"."""
    if not holds:
        raise AssertionError(f"expected {expected}\n  actual {shown(actual)}")


def shown(value: object) -> str:
    """The value's repr, cut off if it is too long for a message."""
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN_LENGTH else f"{text[:_MAX_SHOWN_LENGTH]}… ({len(text)} characters)"


def _json_type(value: object) -> type:
    return dict if isinstance(value, dict) else type(value)
