"""Steps about tools that a request offers, and the calls that a model makes."""

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
def it_must_call_one_tool(scene: Scene) -> None:
    scene.body["tool_choice"] = {"type": "any", "disable_parallel_tool_use": True}


@given(parsers.parse('it must call the tool "{name}"'))
def it_must_call_the_tool(scene: Scene, name: str) -> None:
    scene.body["tool_choice"] = {"type": "tool", "name": name, "disable_parallel_tool_use": True}


@then("the reply is a call that matches its tool's schema")
def the_reply_is_a_call(scene: Scene) -> None:
    message = scene.reply.message()
    expect_equal(message["stop_reason"], "tool_use", "stop_reason")
    expect_calls_of_offered_tools(message, scene.body)


@then(parsers.parse('every call is to "{name}"'))
def every_call_is_to(scene: Scene, name: str) -> None:
    expect_equal({called for called, _ in calls_of(scene.reply.message())}, {name}, "the tools that are called")


@then(parsers.parse("it makes {smallest:d} to {largest:d} calls"))
def it_makes_calls(scene: Scene, smallest: int, largest: int) -> None:
    calls = calls_of(scene.reply.message())
    expect_that(smallest <= len(calls) <= largest, f"{smallest} to {largest} calls", calls)


@then("its stop reason is tool_use if and only if it makes calls")
def its_stop_reason_agrees_with_its_calls(scene: Scene) -> None:
    message = scene.reply.message()
    calls, says_tool_use = calls_of(message), message["stop_reason"] == "tool_use"
    if message["stop_reason"] == "max_tokens":  # it may have cut off a call
        return
    expect_that(bool(calls) == says_tool_use, "the stop reason tool_use if and only if there are calls", message)


@then("no two calls share an id")
def no_two_calls_share_an_id(scene: Scene) -> None:
    calls = [block for reply in (scene.reply, scene.other_reply) for block in blocks_of(reply.message(), "tool_use")]
    expect_that(len(calls) >= 2, "a call in each of two answers", calls)
    ids = [call["id"] for call in calls]
    expect_that(len(set(ids)) == len(ids), "an id for each call", ids)


@then("no call in the reply matches its tool's schema")
def no_call_in_the_reply_is_complete(scene: Scene) -> None:
    """There was no room for the schema's required fields, so a call that looks complete lacks some of them."""
    for block in blocks_of(scene.reply.message(), "tool_use"):
        expect_that(isinstance(block["input"], dict), "the input to be an object", block)
        expect_that(set(block["input"]) < {"stops", "hotel"}, "an input that is cut off", block)


@then("each call starts with an id, a name and an empty input")
def each_call_starts_without_input(scene: Scene) -> None:
    starts = [event["content_block"] for event in scene.stream.of_type("content_block_start")]
    calls = [block for block in starts if block["type"] == "tool_use"]
    expect_that(calls, "a tool_use block", starts)
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
def its_input_arrives_in_pieces(scene: Scene, number: int) -> None:
    pieces = [event["delta"]["partial_json"] for event in _input_deltas(scene)]
    expect_that(len([piece for piece in pieces if piece]) >= number, f"{number} or more pieces", pieces)


@then(parsers.re(r"the (?P<what>reply|stream)'s blocks are (?P<kinds>.+)"))
def its_blocks_are(scene: Scene, what: str, kinds: str) -> None:
    blocks = [block["type"] for block in _message(scene, what)["content"]]
    expect_equal(blocks, kinds.split(" and "), "the types of the blocks")


@then(parsers.re(r"the stream has a (?P<kind>\w+) block"))
def the_stream_has_a_block(scene: Scene, kind: str) -> None:
    content = scene.stream.message()["content"]
    expect_that(kind in [block["type"] for block in content], f"a {kind} block", content)


@then(parsers.re(r"the (?P<what>reply|stream)'s only call is to \"(?P<name>\w+)\" with (?P<literal>\{.*\})"))
def its_only_call_is_to(scene: Scene, what: str, name: str, literal: str) -> None:
    expect_equal(calls_of(_message(scene, what)), [(name, json.loads(literal))], "the calls")


@then(parsers.parse('the stream\'s stop reason is "{reason}"'))
def the_streams_stop_reason_is(scene: Scene, reason: str) -> None:
    expect_equal(scene.stream.message()["stop_reason"], reason, "stop_reason")


@when("the other request is sent")
def the_other_request_is_sent(scene: Scene) -> None:
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
