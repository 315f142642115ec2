"""Steps about tools whose schemas a server may be unable to enforce."""

from __future__ import annotations

import json

from pytest_bdd import given, parsers, then

from features.harness.scene.scene import Json, Scene
from features.harness.scene.toolbox import expect_calls_of_offered_tools, expect_valid, tool
from features.harness.wire.expectations import expect_equal
from features.harness.wire.refusals import error_in, expect_named
from features.harness.wire.replies import blocks_of

_ODD: Json = {
    "type": "object",
    "properties": {
        "code": {"type": "string", "pattern": "^(?=.*[0-9])(?=.*[a-z])[a-z0-9]{12}$", "maxLength": 16},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
    },
    "required": ["code", "unit"],
    "additionalProperties": False,
}


@given(parsers.parse('it offers the tool "{name}" and a tool with an odd pattern'))
def it_offers_an_odd_tool(scene: Scene, name: str) -> None:
    scene.body["tools"] = [tool(name), {"name": "odd", "description": "Does odd things.", "input_schema": _ODD}]


@given(parsers.re(r'it offers the strict tool "(?P<name>\w+)" whose property has (?P<literal>\{.*\})'))
def it_offers_a_strict_tool(scene: Scene, name: str, literal: str) -> None:
    schema: Json = {"type": "object", "properties": {"code": json.loads(literal)}, "required": ["code"]}
    schema["additionalProperties"] = False
    scene.body["tools"] = [{"name": name, "description": "Does odd things.", "strict": True, "input_schema": schema}]


@then("the reply is a call that matches all of its tool's schema but the pattern")
def the_reply_is_a_call_but_for_the_pattern(scene: Scene) -> None:
    rest = {**_ODD, "properties": {**_ODD["properties"], "code": {"type": "string", "maxLength": 16}}}
    message = scene.reply.message()
    expect_equal(message["stop_reason"], "tool_use", "stop_reason")
    expect_equal({call["name"] for call in blocks_of(message, "tool_use")}, {"odd"}, "the tools that are called")
    for call in blocks_of(message, "tool_use"):
        expect_valid(call["input"], rest, "the input")


@then(parsers.parse('the reply is a call that matches its tool\'s schema, or the error names "{word}"'))
def the_reply_is_a_call_or_a_refusal(scene: Scene, word: str) -> None:
    if scene.last.status == 200:
        expect_calls_of_offered_tools(scene.last.message(), scene.body)
        return
    expect_equal(scene.last.status, 400, "the status")
    expect_equal(error_in(scene.last)["type"], "invalid_request_error", "error.type")
    expect_named(scene.last, word)
