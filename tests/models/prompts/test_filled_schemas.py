"""Optional schema keys that some templates require."""

from __future__ import annotations

from pensieve.models.prompts.filled_schemas import filled_schema


def test_every_argument_gets_a_description_and_every_object_argument_additional_properties() -> None:
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


def test_a_tool_without_arguments_gets_properties() -> None:
    filled = {"name": "look", "parameters": {"type": "object", "properties": {}}}
    assert filled_schema({"name": "look", "parameters": {"type": "object"}}) == filled
    assert filled_schema(filled) == filled
