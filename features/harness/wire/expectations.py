"""How a scenario says what it wanted and what it got."""

from __future__ import annotations

import json
from typing import Any, NoReturn

_LONGEST_SHOWN = 600


class TargetGoneError(Exception):
    """Nobody listens any more where the run began with a server: nothing can be said of what it would have answered."""


class Said(dict[str, Any]):
    """A JSON object of a server. That it lacks a field which a rule reads is the server's fault, not the suite's."""

    def __missing__(self, name: str) -> NoReturn:
        raise AssertionError(f"expected a field {name}\n  actual {shown(dict(self))}")


def read_json(text: str | bytes) -> Any:
    """JSON, its objects as `Said`.

    Raises:
        ValueError: it is none.
    """
    return json.loads(text, object_pairs_hook=Said)


def expect_equal(actual: object, expected: object, what: str) -> None:
    """Fail unless the two are equal, and of one type: True is not 1 on the wire."""
    if actual != expected or _type_on_the_wire(actual) is not _type_on_the_wire(expected):
        raise AssertionError(f"expected {what} to be {shown(expected)}\n  actual {shown(actual)}")


def expect_that(holds: object, expected: str, actual: object) -> None:
    """Fail unless `holds` is true. `expected` completes the sentence "expected …"."""
    if not holds:
        raise AssertionError(f"expected {expected}\n  actual {shown(actual)}")


def shown(value: object) -> str:
    """A value on one line or a few, cut where it would drown the sentence around it."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}… ({len(text)} characters)"


def _type_on_the_wire(value: object) -> type:
    return dict if isinstance(value, dict) else type(value)
