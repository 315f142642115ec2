"""What a dialect cannot express of a schema is named."""

from __future__ import annotations

from typing import Any

import pytest

from pensieve.core.dialects.dialect import CallForm, CallSyntax, Dialect
from pensieve.core.dialects.writable import unenforced, why_not_writable

TAGGED = Dialect(calls=CallSyntax(CallForm.TAGGED, "<c>", "{name}{parameters}</c>", parameter="<{key}>{value}</p>"))
PYTHON = Dialect(calls=CallSyntax(CallForm.NAMED, "<c>", "{name}{arguments}</c>", arguments="python"))
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


def with_key(key: str) -> dict[str, Any]:
    inner = {"type": "object", "properties": {key: {"type": "string"}}}
    return {"type": "object", "properties": {"a": {"type": "array", "items": [inner]}}}


@pytest.mark.parametrize(
    ("dialect", "schema", "is_writable"),
    [
        (Dialect(), with_key("any key: of <it>"), True),
        (TAGGED, with_key("<key>")["properties"]["a"]["items"][0], False),
        (TAGGED, with_key("key")["properties"]["a"]["items"][0], True),
        (PYTHON, with_key("a=b")["properties"]["a"]["items"][0], False),
        (PYTHON, with_key("a=b"), True),
        (GEMMA, with_key("a:b"), False),
        (GEMMA, with_key("a_b"), True),
        (Dialect(), {"description": "a \U0010ff01"}, False),
    ],
)
def test_a_key_that_calls_cannot_write_is_named(dialect: Dialect, schema: dict[str, Any], *, is_writable: bool) -> None:
    assert (why_not_writable(schema, dialect) == "") is is_writable
