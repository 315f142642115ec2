"""References and `allOf`, which can multiply: a few kilobytes can refer to the same schema in trillions of ways."""

from __future__ import annotations

from typing import Any

from pensieve.core.dialects.arguments.value_rules import resolved


def reference(name: str) -> dict[str, str]:
    return {"$ref": f"#/$defs/{name}"}


def test_a_schema_that_is_joined_from_the_same_one_in_many_ways_is_joined_once() -> None:
    leaf = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    links: dict[str, Any] = {f"d{at}": {"allOf": [reference(f"d{at + 1}")] * 4} for at in range(20)}
    root = {"allOf": [reference("d0")], "$defs": {**links, "d20": leaf}}
    found = resolved(root, root)
    assert (found["properties"], found["required"]) == (leaf["properties"], ["q"])


def test_a_schema_that_joins_itself_is_itself() -> None:
    root = {"type": "object", "required": ["a"], "allOf": [{"$ref": "#"}, {"$ref": "#"}]}
    assert resolved(root, root)["required"] == ["a"]


def test_references_in_a_circle_are_none() -> None:
    root = {"$defs": {"a": reference("b"), "b": reference("a")}}
    assert resolved(reference("a"), root) is None
