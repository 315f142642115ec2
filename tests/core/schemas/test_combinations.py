"""What would take all memory as a grammar is recognised by its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pensieve.core.schemas.combinations import MAX_COMBINATIONS, has_too_many_combinations

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
    assert has_too_many_combinations(schema)


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
    assert not has_too_many_combinations(schema)
