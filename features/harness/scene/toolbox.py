"""Tools for a model to call and schemas for it to follow, each testing another feature of JSON schema.

Every string is bounded: at temperature 0 a small model would fill an unbounded one up to max_tokens.
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


def tool(name: str, schema: str = "enumeration", description: str = "Answers a question.") -> Json:
    """A tool in the format of the Messages API."""
    return {"name": name, "description": description, "input_schema": SCHEMAS[schema]}


def function(name: str, schema: str = "enumeration") -> Json:
    """The same tool in the format of OpenAI's API."""
    offered = tool(name, schema)
    return {
        "type": "function",
        "function": {"name": name, "description": offered["description"], "parameters": offered["input_schema"]},
    }


def expect_valid(value: object, schema: Mapping[str, Any], what: str) -> None:
    """Fail unless the value matches the JSON schema."""
    broken = [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(value)]
    expect_that(not broken, f"{what} to match {json.dumps(schema, ensure_ascii=False)}", f"{value!r}: {broken}")


def expect_calls_of_offered_tools(message: Mapping[str, Any], request: Json) -> None:
    """Fail unless there are calls, all to tools that the request offers, with input that matches their schemas."""
    calls = blocks_of(message, "tool_use")
    expect_that(calls, "a tool_use block", message["content"])
    schemas = {offered["name"]: offered["input_schema"] for offered in request["tools"]}
    for call in calls:
        expect_identity(call, request)
        expect_valid(call["input"], schemas[call["name"]], f"the input of {call['name']}")


def expect_identity(call: Json, request: Json) -> None:
    """Fail unless a call has an id that begins with toolu_ and the name of a tool that the request offers."""
    expect_that(isinstance(call["id"], str) and call["id"].startswith("toolu_"), "an id that begins with toolu_", call)
    names = [offered["name"] for offered in request["tools"]]
    expect_that(call["name"] in names, f"a name from {names}", call)
