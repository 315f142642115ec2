"""What a dialect cannot express of a schema is named."""

from __future__ import annotations

from typing import Any

import pytest

from pensieve.core.dialects.dialect import CallForm, CallSyntax, Dialect
from pensieve.core.dialects.writable import unenforced

TAGGED = Dialect(calls=CallSyntax(CallForm.TAGGED, "<c>", "{name}{parameters}</c>", parameter="<{key}>{value}</p>"))
GEMMA = Dialect(calls=CallSyntax(CallForm.NAMED, "<c>", "{name}{arguments}</c>", arguments="gemma"))
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "a": {"type": "string", "pattern": "^a"},
        "b": {"type": "array", "items": {"type": "string", "maxLength": 2}, "maxItems": 3},
        "c": {"type": "integer", "minimum": 1},
    },
    "minProperties": 3,
}


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (Dialect(), []),
        (TAGGED, ["minProperties", "properties.a.pattern"]),
        (GEMMA, ["minProperties", "properties.a.pattern", "properties.b.items.maxLength"]),
    ],
)
def test_keywords_that_calls_do_not_enforce_are_named(dialect: Dialect, expected: list[str]) -> None:
    assert [gap.place for gap in unenforced(SCHEMA, dialect)] == expected
