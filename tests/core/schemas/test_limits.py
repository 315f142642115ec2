"""What a grammar cannot be compiled with in a second is left out by name."""

from __future__ import annotations

from typing import Any

import pytest

from pensieve.core.schemas.combinations import MAX_MULTIPLE
from pensieve.core.schemas.plain import (
    MAX_INNER_VALUES,
    MAX_MULTIPLES,
    MAX_NAMED,
    MAX_PATTERN_CHARACTERS,
    MAX_PATTERNS,
    plain_schema,
)


def patterns(first: int, number: int) -> dict[str, Any]:
    return {f"^p{at}_": {"type": "string"} for at in range(first, first + number)}


@pytest.mark.parametrize("number", [MAX_PATTERNS, MAX_PATTERNS + 1])
@pytest.mark.parametrize("num_parts", [1, 3])
def test_patterns_of_keys_count_in_the_whole_schema(number: int, num_parts: int) -> None:
    size = number // num_parts
    parts = [patterns(at * size, size) for at in range(num_parts - 1)]
    rest = patterns((num_parts - 1) * size, number - (num_parts - 1) * size)
    schema = {"allOf": [{"patternProperties": part, "additionalProperties": False} for part in [*parts, rest]]}
    plain = plain_schema(schema)
    named = [gap.keyword for gap in plain.gaps]
    assert named == (["patternProperties"] if number > MAX_PATTERNS else [])
    assert ("additionalProperties" in plain.body["allOf"][-1]) == (number <= MAX_PATTERNS)


@pytest.mark.parametrize("length", [MAX_PATTERN_CHARACTERS // 2, MAX_PATTERN_CHARACTERS // 2 + 1])
def test_the_characters_of_all_patterns_of_keys_count(length: int) -> None:
    parts = {name: {"patternProperties": {letter * length: True}} for name, letter in (("a", "x"), ("b", "y"))}
    gaps = plain_schema({"properties": parts}).gaps
    assert [gap.place for gap in gaps] == (
        [] if 2 * length <= MAX_PATTERN_CHARACTERS else ["properties.b.patternProperties"]
    )


@pytest.mark.parametrize(
    ("multiple", "is_too_large"),
    [
        (MAX_MULTIPLE, False),
        (MAX_MULTIPLE + 1, True),
        (99.99, False),
        (999.99, True),
        (0.001, False),
        (1e300, True),
        (10**400, True),  # no float is as large
        (MAX_MULTIPLE / 1, False),
    ],
)
def test_a_large_multiple_is_left_out(multiple: float, *, is_too_large: bool) -> None:
    plain = plain_schema({"multipleOf": multiple})
    assert [gap.keyword for gap in plain.gaps] == ["multipleOf"] * is_too_large
    assert ("multipleOf" in plain.body) == (not is_too_large)


def test_all_multiples_of_a_schema_count() -> None:
    number = MAX_MULTIPLES // MAX_MULTIPLE
    parts = {f"p{at}": {"multipleOf": MAX_MULTIPLE} for at in range(number + 1)}
    assert [gap.place for gap in plain_schema({"properties": parts}).gaps] == [f"properties.p{number}.multipleOf"]


def test_the_names_that_an_object_requires_count() -> None:
    names = [f"p{at}" for at in range(MAX_NAMED + 1)]
    assert not plain_schema({"required": names[:-1]}).gaps
    plain = plain_schema({"required": names, "additionalProperties": False})
    assert ([gap.keyword for gap in plain.gaps], plain.body) == (["required"], {})


def test_the_values_in_constants_of_a_whole_schema_count() -> None:
    def gaps(number: int) -> list[str]:
        constants = {"a": {"const": {f"p{at}": at for at in range(1000)}}, "b": {"enum": [[0] * number, 1, 2]}}
        return [gap.place for gap in plain_schema({"properties": constants}).gaps]

    assert gaps(MAX_INNER_VALUES - 1000) == []
    assert gaps(MAX_INNER_VALUES - 999) == ["properties.b.enum"]


def test_the_values_of_an_enum_do_not_count_themselves() -> None:
    enums = {"anyOf": [{"enum": list(range(MAX_INNER_VALUES))}] * 2}
    assert not plain_schema(enums).gaps


@pytest.mark.parametrize("multiple", ["5", True, float("nan"), float("inf")])
def test_a_multiple_of_another_form_is_left_out(multiple: object) -> None:
    """Draft 3 does not know the keyword, so its meta-schema allows anything."""
    plain = plain_schema({"multipleOf": multiple})
    assert ([gap.keyword for gap in plain.gaps], plain.body) == (["multipleOf"], {})
