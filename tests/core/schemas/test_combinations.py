"""What would take all memory as a grammar is recognised by its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pensieve.core.schemas.combinations import (
    MAX_COMBINATIONS,
    MAX_MULTIPLE,
    MAX_TEXTS,
    excess_of,
    max_forced_characters,
)

Schema = dict[str, Any]
NUMBER: Schema = {"type": "number"}


def chained(link: Callable[[Schema], Schema], length: int) -> Schema:
    """Definitions each of which refers to the next one as `link` says."""
    definitions = {f"d{at}": link({"$ref": f"#/$defs/d{at + 1}"}) for at in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{length}": NUMBER}}


def choices(number: int) -> Schema:
    return {"anyOf": [{"const": at} for at in range(number)]}


def values(number: int) -> Schema:
    return {"enum": list(range(number))}


@pytest.mark.parametrize(
    "schema",
    [
        chained(lambda next_one: {"anyOf": [next_one, {"allOf": [next_one, next_one]}]}, 10),
        chained(lambda next_one: {"type": "object", "anyOf": [next_one, next_one]}, 11),
        {"allOf": [choices(10)] * 4},
        {"items": {"properties": {"a": {"allOf": [choices(MAX_COMBINATIONS + 1), NUMBER]}}}},
        {"oneOf": choices(40)["anyOf"], **choices(40)},
        {"allOf": [values(40), values(40)]},
        {"items": {**values(40), "$ref": "#/$defs/a"}, "$defs": {"a": values(40)}},
        {"allOf": [{"anyOf": [values(20), values(20)]}, values(40)]},
    ],
)
def test_alternatives_beside_each_other_multiply(schema: Schema) -> None:
    assert f"more than {MAX_COMBINATIONS} combinations" in excess_of(schema)


@pytest.mark.parametrize(
    "schema",
    [
        True,
        NUMBER,
        choices(MAX_COMBINATIONS + 1),
        {"allOf": [choices(MAX_COMBINATIONS), NUMBER]},
        {"allOf": [values(MAX_COMBINATIONS + 1), NUMBER]},
        {"allOf": [values(30), values(30)]},
        {**values(MAX_COMBINATIONS + 1), "type": "number"},
        {"oneOf": [values(MAX_COMBINATIONS), {"anyOf": [values(MAX_COMBINATIONS), NUMBER]}]},
        chained(lambda next_one: {"allOf": [next_one, next_one, next_one]}, 50),
        chained(lambda next_one: {"properties": {"a": next_one, "b": next_one}}, 50),
        {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}, choices(2)]}}},
        {"properties": {f"p{at}": choices(50) for at in range(200)}},
    ],
)
def test_alternatives_apart_from_each_other_do_not(schema: Any) -> None:
    assert not excess_of(schema)


def arrays(number: int) -> list[Schema]:
    return [{"items": {"const": at}} for at in range(number)]


def texts(number: int) -> Schema:
    return {"allOf": [{"pattern": f"a{at}"} for at in range(number)]}


def multiples(*numbers: float) -> Schema:
    return {"allOf": [{"multipleOf": number} for number in numbers]}


def test_alternatives_alone_count_unless_they_are_values() -> None:
    assert not excess_of({"items": {"anyOf": arrays(MAX_COMBINATIONS)}})
    assert excess_of({"items": {"anyOf": arrays(MAX_COMBINATIONS + 1)}})
    assert excess_of({"anyOf": [{"anyOf": arrays(MAX_COMBINATIONS // 2)}] * 3})
    assert not excess_of({"anyOf": [{"$ref": "#/$defs/a"}] * 3, "$defs": {"a": {"anyOf": arrays(MAX_COMBINATIONS)}}})


@pytest.mark.parametrize(
    ("schema", "is_too_much"),
    [
        (texts(MAX_TEXTS), False),
        (texts(MAX_TEXTS + 1), True),
        ({**texts(MAX_TEXTS - 1), "pattern": "a", "format": "date"}, True),
        ({"allOf": [{"allOf": [texts(3), texts(3)]}, texts(3)]}, True),
        ({"anyOf": [texts(5), texts(4)], "pattern": "a"}, False),
        ({"anyOf": [texts(5), texts(4)], **texts(4)}, True),
        ({"$ref": "#/$defs/a", **texts(4), "$defs": {"a": texts(5)}}, True),
        ({"properties": {f"p{at}": {"pattern": "a"} for at in range(20)}}, False),
    ],
)
def test_patterns_and_formats_of_one_text_count(schema: Schema, *, is_too_much: bool) -> None:
    assert ("patterns and formats" in excess_of(schema)) == is_too_much


@pytest.mark.parametrize(
    ("schema", "is_too_much"),
    [
        (multiples(97, 101), False),
        (multiples(MAX_MULTIPLE, 100, 1000), False),
        (multiples(9973, 9967), True),
        (multiples(7.77, 5), True),
        (multiples(0.01, 5), False),
        (multiples(*range(2, 18)), True),
        ({"anyOf": [multiples(9973, 1), multiples(9967, 1)], "multipleOf": 9949}, True),
    ],
)
def test_multiples_beside_each_other_have_a_common_multiple(schema: Schema, *, is_too_much: bool) -> None:
    assert ("least common multiple" in excess_of(schema)) == is_too_much


def required(**properties: Schema) -> Schema:
    return {"properties": properties, "required": list(properties)}


def doubled(link: Schema) -> Schema:
    return required(a=link, b=link)


@pytest.mark.parametrize(
    "schema",
    [
        {"const": "a" * 1000},
        {"enum": ["b", "a" * 1000]},
        {"const": list(range(400))},
        {"pattern": "^a{1000}$"},
        {"pattern": "^(a{10}b){100}$"},
        {"pattern": "^a*$", "minLength": 100},
        {"type": "array", "items": {"const": 1}, "minItems": 1000},
        {"prefixItems": [{"const": "a" * 10}] * 100},
        {"items": {"type": "array", "items": {"const": 1}, "minItems": 50}, "minItems": 50},
        {"anyOf": [{"const": 1}, {"const": "a" * 1000}]},
        {"allOf": [{"items": {"const": "a" * 10}}, {"minItems": 1000}]},
        {"required": ["a" * 1000]},
        required(**{f"name_{at}": {"const": "a" * 10} for at in range(50)}),
        {"additionalProperties": {"const": 1}, "minProperties": 1000},
        {"patternProperties": {"^a{1000}$": {}}, "additionalProperties": False},
        chained(doubled, 10),
        chained(doubled, 2000),
    ],
)
def test_text_that_has_no_alternative_is_counted_at_least_as_long_as_it_is(schema: Schema) -> None:
    assert max_forced_characters(schema) >= 1000


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string", "minLength": 10**6},
        {"enum": [f"value {at}" for at in range(1000)]},
        {"type": "array", "items": {"type": "object"}, "maxItems": 10**6},
        {"anyOf": [required(name={"const": at}) for at in range(1000)]},
        {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [NUMBER, required(next={"$ref": "#/$defs/a"})]}}},
    ],
)
def test_text_that_has_alternatives_does_not_count(schema: Schema) -> None:
    assert max_forced_characters(schema) < 100
