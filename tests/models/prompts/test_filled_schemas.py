"""Keys of schemas that some templates insist on."""

from __future__ import annotations

from pensieve.models.prompts.filled_schemas import filled_schema


def test_every_argument_has_a_description_and_every_object_says_what_else_it_may_hold() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "string", "description": "The a."},
            "b": {"type": "array", "items": {"properties": {"c": {"type": "object"}, "d": True}}},
        },
    }
    inner = {"properties": {"c": {"type": "object", "description": "", "additionalProperties": {}}, "d": True}}
    assert filled_schema({"parameters": schema}) == {
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "string", "description": "The a."},
                "b": {"type": "array", "description": "", "items": inner},
            },
        }
    }
