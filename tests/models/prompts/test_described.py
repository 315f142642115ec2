"""Arguments without a description, for templates that insist on one."""

from __future__ import annotations

from pensieve.models.prompts.described import described


def test_every_argument_without_a_description_gets_an_empty_one() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "The a."},
            "b": {"type": "array", "items": {"properties": {"c": {"type": "integer"}, "d": True}}},
        },
    }
    inner = {"properties": {"c": {"type": "integer", "description": ""}, "d": True}}
    assert described({"parameters": schema}) == {
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "string", "description": "The a."},
                "b": {"type": "array", "description": "", "items": inner},
            },
        }
    }
