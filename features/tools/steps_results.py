"""Steps about conversations with tool calls and their results."""

from __future__ import annotations

import copy
import json

from pytest_bdd import given, parsers, then

from features.harness.scene.media import image_block
from features.harness.scene.scene import Json, Scene
from features.harness.scene.toolbox import tool
from features.harness.wire.expectations import expect_equal

_ID, _OTHER_ID = "toolu_01", "toolu_02"


@given(parsers.parse('a conversation in which the tool "{name}" was called'))
def a_conversation_with_a_call(scene: Scene, name: str) -> None:
    scene.body["tools"] = [tool(name, "bounded")]
    scene.body["messages"] = [
        {"role": "user", "content": "How warm is it in Oslo?"},
        {"role": "assistant", "content": [_call(_ID, name)]},
        {"role": "user", "content": [_result(_ID, {"content": "21 degrees"})]},
    ]


@given(parsers.parse("the call's result is {literal}"))
def the_calls_result_is(scene: Scene, literal: str) -> None:
    scene.body["messages"][2]["content"] = [_result(_ID, json.loads(literal))]


@given("the call's result contains an image")
def the_calls_result_contains_an_image(scene: Scene) -> None:
    scene.body["messages"][2]["content"] = [_result(_ID, {"content": [image_block(8, 8)]})]


@given(parsers.parse("the result is followed by {literal}"))
def the_result_is_followed_by(scene: Scene, literal: str) -> None:
    scene.body["messages"][2]["content"].append(json.loads(literal))


@given("two calls with their results in reverse order")
def two_calls_with_their_results(scene: Scene) -> None:
    name = scene.body["tools"][0]["name"]
    scene.body["messages"][1]["content"] = [_call(_ID, name), _call(_OTHER_ID, name)]
    results = [_result(_OTHER_ID, {"content": "22 degrees"}), _result(_ID, {"content": "21 degrees"})]
    scene.body["messages"][2]["content"] = results


@given(parsers.parse('another request that also offers the deferred tool "{name}"'))
def another_request_with_a_deferred_tool(scene: Scene, name: str) -> None:
    scene.other_body = copy.deepcopy(scene.body)
    scene.other_body["tools"].append({**tool(name, "nested"), "defer_loading": True})


@given(parsers.parse('another request that also offers the deferred tool "{name}" and references it'))
def another_request_that_references_a_deferred_tool(scene: Scene, name: str) -> None:
    another_request_with_a_deferred_tool(scene, name)
    reference = {"content": [{"type": "tool_reference", "tool_name": name}]}
    scene.other_body["messages"][2]["content"] = [_result(_ID, reference)]


@then("both replies are messages")
def both_replies_are_messages(scene: Scene) -> None:
    for reply in (scene.reply, scene.other_reply):
        expect_equal(reply.message()["type"], "message", "type")


def _call(tool_use_id: str, name: str) -> Json:
    return {"type": "tool_use", "id": tool_use_id, "name": name, "input": {"city": "Oslo", "days": 1}}


def _result(tool_use_id: str, fields: Json) -> Json:
    return {"type": "tool_result", "tool_use_id": tool_use_id, **fields}
