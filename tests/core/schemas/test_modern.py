"""Schemas of older drafts, and keywords that say nothing, are rewritten to those that a grammar knows."""

from __future__ import annotations

from typing import Any

import pytest

from pensieve.core.schemas.modern import modern


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"divisibleBy": 3}, {"multipleOf": 3}),
        ({"extends": {"type": "object"}}, {"allOf": [{"type": "object"}]}),
        ({"extends": [{"a": 1}], "allOf": [{"b": 2}]}, {"allOf": [{"b": 2}, {"a": 1}]}),
        ({"minimum": 1, "exclusiveMinimum": True}, {"exclusiveMinimum": 1}),
        ({"maximum": 1, "exclusiveMaximum": False}, {"maximum": 1}),
        ({"items": [{"a": 1}], "additionalItems": False}, {"prefixItems": [{"a": 1}], "items": False}),
        ({"items": {"a": 1}, "additionalItems": False}, {"items": {"a": 1}}),
        ({"minLength": 2.0, "maxItems": 2.5}, {"minLength": 2, "maxItems": 2.5}),
        ({"maximum": 10**400}, {}),
        ({"minimum": 10**400}, {"minimum": 10**400}),
        ({"minimum": "1"}, {"minimum": "1"}),
        ({"propertyNames": {"type": "string"}}, {}),
        ({"propertyNames": False}, {"propertyNames": {"enum": []}}),
        (
            {"propertyNames": {"enum": ["a", "b"]}, "additionalProperties": {"type": "null"}},
            {"properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "additionalProperties": False},
        ),
        (
            {"propertyNames": {"pattern": "^x"}},
            {"patternProperties": {"^x": True}, "additionalProperties": False},
        ),
        (
            {"propertyNames": {"pattern": "^x", "maxLength": 3}},
            {"propertyNames": {"pattern": "^x", "maxLength": 3}},
        ),
        ({"additionalProperties": True, "unevaluatedProperties": False}, {"additionalProperties": True}),
        ({"items": {"a": 1}, "unevaluatedItems": False}, {"items": {"a": 1}}),
        ({"unevaluatedProperties": False}, {"additionalProperties": False}),
        ({"unevaluatedItems": False}, {"items": False}),
        ({"contains": {"a": 1}, "minContains": 0}, {}),
        ({"if": {"a": 1}}, {}),
    ],
)
def test_a_schema_keeps_its_meaning(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert modern(old) == new


def test_the_bounds_of_integers_are_those_that_a_grammar_can_count() -> None:
    found = modern({"type": "integer", "minimum": -(10**30), "maximum": 10**30})
    assert -(10**20) < found["minimum"] < 0 < found["maximum"] < 10**20


def test_the_given_schema_stays_as_it_was() -> None:
    given = {"divisibleBy": 3, "items": [{"a": 1}]}
    modern(given)
    assert given == {"divisibleBy": 3, "items": [{"a": 1}]}
