"""More patternProperties than a grammar can be compiled with in a second are left out by name."""

from __future__ import annotations

from typing import Any

import pytest

from pensieve.core.schemas.plain import MAX_PATTERNS, plain_schema


def patterns(first: int, number: int) -> dict[str, Any]:
    return {f"^p{at}_": {"type": "string"} for at in range(first, first + number)}


@pytest.mark.parametrize("number", [MAX_PATTERNS, MAX_PATTERNS + 1])
@pytest.mark.parametrize("num_parts", [1, 3])
def test_those_of_a_whole_schema_count(number: int, num_parts: int) -> None:
    size = number // num_parts
    parts = [patterns(at * size, size) for at in range(num_parts - 1)]
    rest = patterns((num_parts - 1) * size, number - (num_parts - 1) * size)
    schema = {"allOf": [{"patternProperties": part, "additionalProperties": False} for part in [*parts, rest]]}
    plain = plain_schema(schema)
    named = [gap.keyword for gap in plain.gaps]
    assert named == (["patternProperties"] if number > MAX_PATTERNS else [])
    assert ("additionalProperties" in plain.body["allOf"][-1]) == (number <= MAX_PATTERNS)
