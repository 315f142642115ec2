"""Tools for a model to call, and schemas for it to keep to: each of another kind, and none with room to ramble.

Every string is bounded: a small model at temperature 0 would fill an open one up to max_tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema

from features.harness.wire.expectations import expect_that
from features.harness.wire.replies import blocks_of

Json = dict[str, Any]

SCHEMAS: Mapping[str, Json] = {
    "enumeration": {
        "type": "object",
        "properties": {"unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        "required": ["unit"],
        "additionalProperties": False,
    },
    "bounded": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 8},
            "days": {"type": "integer", "minimum": 1, "maximum": 5},
        },
        "required": ["city", "days"],
        "additionalProperties": False,
    },
    "nested": {
        "type": "object",
        "properties": {
            "stops": {"type": "array", "items": {"enum": ["rome", "oslo"]}, "minItems": 1, "maxItems": 2},
            "hotel": {
                "type": "object",
                "properties": {"stars": {"type": "integer", "minimum": 1, "maximum": 5}, "pool": {"type": "boolean"}},
                "required": ["stars", "pool"],
                "additionalProperties": False,
            },
        },
        "required": ["stops", "hotel"],
        "additionalProperties": False,
    },
    "unicode": {
        "type": "object",
        "properties": {"größe": {"enum": ["klein", "groß", "大きい"]}},
        "required": ["größe"],
        "additionalProperties": False,
    },
    "empty": {"type": "object", "properties": {}, "additionalProperties": False},
}


def tool(name: str, schema: str = "enumeration", description: str = "Tells what it is asked.") -> Json:
    """A tool as the Messages API takes it."""
    return {"name": name, "description": description, "input_schema": SCHEMAS[schema]}


def function(name: str, schema: str = "enumeration") -> Json:
    """The same tool as OpenAI's API takes it."""
    told = tool(name, schema)
    return {
        "type": "function",
        "function": {"name": name, "description": told["description"], "parameters": told["input_schema"]},
    }


def expect_valid(value: object, schema: Mapping[str, Any], what: str) -> None:
    """Fail unless the value keeps to the JSON schema."""
    broken = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(value)]
    expect_that(not broken, f"{what} to keep to {json.dumps(schema, ensure_ascii=False)}", f"{value!r}: {broken}")


def expect_calls_of_offered_tools(message: Mapping[str, Any], asked: Json) -> None:
    """Fail unless there are calls, and all are of tools that were offered, with input of their schemas."""
    calls = blocks_of(message, "tool_use")
    expect_that(calls, "a block of tool_use", message["content"])
    schemas = {offered["name"]: offered["input_schema"] for offered in asked["tools"]}
    for call in calls:
        expect_identity(call, asked)
        expect_valid(call["input"], schemas[call["name"]], f"the input of {call['name']}")


def expect_identity(call: Json, asked: Json) -> None:
    """Fail unless a call has an id of the right kind and the name of a tool that was offered."""
    expect_that(isinstance(call["id"], str) and call["id"].startswith("toolu_"), "an id that begins with toolu_", call)
    names = [offered["name"] for offered in asked["tools"]]
    expect_that(call["name"] in names, f"a name out of {names}", call)
