"""Tools that are offered, and the calls that a model makes of them."""

from __future__ import annotations

import json

from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Json, Scene
from features.harness.scene.toolbox import expect_calls_of_offered_tools, expect_identity, tool
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import blocks_of, calls_of


@given(parsers.re(r'it offers the tool "(?P<name>\w+)"'))
def it_offers_the_tool(scene: Scene, name: str) -> None:
    scene.body["tools"] = [tool(name)]


@given(parsers.re(r'it offers the tool "(?P<name>\w+)" with the schema "(?P<schema>\w+)"'))
def it_offers_the_tool_with(scene: Scene, name: str, schema: str) -> None:
    scene.body["tools"] = [tool(name, schema)]


@given(parsers.re(r'it offers the tools "(?P<one>\w+)" and "(?P<other>\w+)"'))
def it_offers_the_tools(scene: Scene, one: str, other: str) -> None:
    scene.body["tools"] = [tool(one), tool(other, "unicode")]


@given("it must call one tool")
def it_has_to_call_one_tool(scene: Scene) -> None:
    scene.body["tool_choice"] = {"type": "any", "disable_parallel_tool_use": True}


@given(parsers.parse('it must call the tool "{name}"'))
def it_has_to_call_the_tool(scene: Scene, name: str) -> None:
    scene.body["tool_choice"] = {"type": "tool", "name": name, "disable_parallel_tool_use": True}


@then("the reply is a call that matches its tool's schema")
def it_is_a_call(scene: Scene) -> None:
    message = scene.reply.message()
    expect_equal(message["stop_reason"], "tool_use", "stop_reason")
    expect_calls_of_offered_tools(message, scene.body)


@then(parsers.parse('every call is to "{name}"'))
def every_call_is_of(scene: Scene, name: str) -> None:
    expect_equal({called for called, _ in calls_of(scene.reply.message())}, {name}, "the tools that are called")


@then(parsers.parse("it makes {fewest:d} to {most:d} calls"))
def it_makes_calls(scene: Scene, fewest: int, most: int) -> None:
    calls = calls_of(scene.reply.message())
    expect_that(fewest <= len(calls) <= most, f"{fewest} to {most} calls", calls)


@then("its stop reason is tool_use if and only if it makes calls")
def its_stop_reason_tells_of_calls(scene: Scene) -> None:
    message = scene.reply.message()
    calls, is_told = calls_of(message), message["stop_reason"] == "tool_use"
    if message["stop_reason"] == "max_tokens":  # a call may have been cut off: then nothing is said of it
        return
    expect_that(bool(calls) == is_told, "the stop reason tool_use exactly if there are calls", message)


@then("no two calls share an id")
def no_two_calls_share_an_id(scene: Scene) -> None:
    calls = [block for reply in (scene.reply, scene.other_reply) for block in blocks_of(reply.message(), "tool_use")]
    expect_that(len(calls) >= 2, "a call in each of two answers", calls)
    ids = [call["id"] for call in calls]
    expect_that(len(set(ids)) == len(ids), "an id for each call", ids)


@then("no call in the reply matches its tool's schema")
def no_call_in_it_is_whole(scene: Scene) -> None:
    """The schema has required fields, and they had no room: a call that is passed off as whole lacks them."""
    for block in blocks_of(scene.reply.message(), "tool_use"):
        expect_equal(type(block["input"]).__name__, "Said", "the input's being an object")
        expect_that(set(block["input"]) < {"stops", "hotel"}, "an input that is cut off", block)


@then("each call starts with an id, a name and an empty input")
def each_call_starts_without_input(scene: Scene) -> None:
    starts = [event["content_block"] for event in scene.stream.of_type("content_block_start")]
    calls = [block for block in starts if block["type"] == "tool_use"]
    expect_that(calls, "a block of tool_use", starts)
    for call in calls:
        expect_equal(call["input"], {}, "the input at the start")
        expect_identity(call, scene.body)


@then("each call's deltas join to JSON")
def each_calls_deltas_join_to_json(scene: Scene) -> None:
    for text in _joined_inputs(scene).values():
        try:
            json.loads(text)
        except ValueError:
            expect_that(False, "the deltas of an input to join to JSON", text)  # noqa: FBT003 - the message says it


@then(parsers.parse("its input arrives in {number:d} or more pieces"))
def its_input_comes_in_pieces(scene: Scene, number: int) -> None:
    pieces = [event["delta"]["partial_json"] for event in _input_deltas(scene)]
    expect_that(len([piece for piece in pieces if piece]) >= number, f"{number} pieces or more", pieces)


@then(parsers.re(r"the (?P<what>reply|stream)'s blocks are (?P<kinds>.+)"))
def it_has_blocks_of(scene: Scene, what: str, kinds: str) -> None:
    blocks = [block["type"] for block in _message(scene, what)["content"]]
    expect_equal(blocks, kinds.split(" and "), "the types of the blocks")


@then(parsers.re(r"the stream has a (?P<kind>\w+) block"))
def the_stream_has_a_block_of(scene: Scene, kind: str) -> None:
    content = scene.stream.message()["content"]
    expect_that(kind in [block["type"] for block in content], f"a block of {kind}", content)


@then(parsers.re(r"the (?P<what>reply|stream)'s only call is to \"(?P<name>\w+)\" with (?P<literal>\{.*\})"))
def its_calls_are_of(scene: Scene, what: str, name: str, literal: str) -> None:
    expect_equal(calls_of(_message(scene, what)), [(name, json.loads(literal))], "the calls")


@then(parsers.parse('the stream\'s stop reason is "{reason}"'))
def the_stream_stopped_for(scene: Scene, reason: str) -> None:
    expect_equal(scene.stream.message()["stop_reason"], reason, "stop_reason")


@when("the other request is sent")
def the_other_is_sent(scene: Scene) -> None:
    scene.take_reply(scene.client.post(scene.other_body))


def _input_deltas(scene: Scene) -> list[Json]:
    deltas = scene.stream.of_type("content_block_delta")
    return [event for event in deltas if event["delta"]["type"] == "input_json_delta"]


def _joined_inputs(scene: Scene) -> dict[int, str]:
    joined: dict[int, str] = {}
    for event in _input_deltas(scene):
        joined[event["index"]] = joined.get(event["index"], "") + event["delta"]["partial_json"]
    expect_that(joined, "deltas of an input", scene.stream.kinds())
    return joined


def _message(scene: Scene, what: str) -> Json:
    return scene.reply.message() if what == "reply" else scene.stream.message()
