"""Steps about whole replies, and about two replies compared."""

from __future__ import annotations

from pytest_bdd import parsers, then

from contracts.streams.message_stream import STOP_REASONS
from features.harness.scene.scene import Json, Scene, expect_same_answer
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import prompt_tokens, text_of


@then("the reply is a message")
def the_reply_is_a_message(scene: Scene) -> None:
    message = scene.reply.message()
    expect_equal(message.get("type"), "message", "type")
    expect_equal(message.get("role"), "assistant", "role")
    for name in ("id", "model"):
        expect_that(isinstance(message.get(name), str) and message[name], f"{name} to be a string", message.get(name))
    expect_that(message["id"].startswith("msg_"), "id to begin with msg_", message["id"])
    expect_that(isinstance(message.get("content"), list), "content to be an array", message.get("content"))
    _expect_documented_stop(message)
    usage = message.get("usage")
    expect_that(isinstance(usage, dict), "usage to be an object", usage)


@then("both replies have the same answer")
def both_replies_have_the_same_answer(scene: Scene) -> None:
    expect_same_answer(scene.reply.message(), scene.other_reply.message())


@then("each request gets the same answer both times")
def each_request_gets_the_same_answer(scene: Scene) -> None:
    for in_turn, at_once in zip(scene.replies_in_turn, scene.replies_at_once, strict=True):
        expect_same_answer(in_turn.message(), at_once.message())


@then("the other request's prompt is longer")
def the_other_prompt_is_longer(scene: Scene) -> None:
    one, other = (prompt_tokens(reply.message()["usage"]) for reply in (scene.reply, scene.other_reply))
    expect_that(other > one, f"the other's prompt to be of more than {one} tokens", other)


@then("the reply continues where the first half ended")
def the_reply_continues(scene: Scene) -> None:
    whole = _without_spaces(text_of(scene.reply.message()))
    continued = _without_spaces(scene.stop + text_of(scene.other_reply.message()))
    expect_that(len(continued) > len(_without_spaces(scene.stop)), "the reply to have text", continued)
    shorter = min(len(whole), len(continued))
    expect_equal(continued[:shorter], whole[:shorter], "both halves together, spaces aside,")


@then(parsers.parse('the reply\'s stop reason is "{reason}"'))
def the_replys_stop_reason_is(scene: Scene, reason: str) -> None:
    expect_equal(scene.reply.message()["stop_reason"], reason, "stop_reason")


@then(parsers.parse("its usage counts {number:d} output tokens"))
def its_usage_counts_output_tokens(scene: Scene, number: int) -> None:
    expect_equal(scene.reply.message()["usage"]["output_tokens"], number, "usage.output_tokens")


@then(parsers.parse('it is answered without text, or refused as "{kind}"'))
def it_is_answered_without_text_or_refused(scene: Scene, kind: str) -> None:
    if scene.reply.status == 200:
        expect_equal(text_of(scene.reply.message()), "", "the text")
    else:
        expect_equal(scene.reply.status, 400, "the status")
        expect_equal(scene.reply.json()["error"]["type"], kind, "error.type")


@then("the reply stopped at that stop sequence")
def the_reply_stopped_at_that_stop_sequence(scene: Scene) -> None:
    expect_equal(scene.message["stop_reason"], "stop_sequence", "stop_reason")
    expect_equal(scene.message["stop_sequence"], scene.stop, "stop_sequence")


@then("its text is the answer up to that point")
def its_text_is_the_answer_up_to_that_point(scene: Scene) -> None:
    before, _, _ = text_of(scene.reply.message()).partition(scene.stop)
    expect_equal(text_of(scene.message).rstrip(), before.rstrip(), "the text")


@then(parsers.parse('its text is "{text}"'))
def its_text_is(scene: Scene, text: str) -> None:
    expect_equal(text_of(scene.reply.message()).strip(), text, "the text")


@then("its content consists of text blocks")
def its_content_consists_of_text_blocks(scene: Scene) -> None:
    content = scene.reply.message()["content"]
    expect_that(content, "at least one block", content)
    for block in content:
        expect_equal(block.get("type"), "text", "the block's type")
        expect_that(isinstance(block.get("text"), str), "the block's text to be a string", block)


@then(parsers.parse('its "{field}" matches the request'))
def its_field_matches_the_request(scene: Scene, field: str) -> None:
    expect_equal(scene.reply.message().get(field), scene.body[field], field)


@then(parsers.parse('the two replies have different "{prefix}" ids'))
def the_two_replies_have_different_ids(scene: Scene, prefix: str) -> None:
    one, other = scene.reply.message()["id"], scene.other_reply.message()["id"]
    expect_that(one.startswith(prefix) and other.startswith(prefix), f"ids that begin with {prefix}", (one, other))
    expect_that(one != other, "two ids", (one, other))


@then("its stop reason is a documented one")
def its_stop_reason_is_documented(scene: Scene) -> None:
    _expect_documented_stop(scene.reply.message())


@then("its usage counts are positive and within max_tokens")
def its_usage_counts_are_valid(scene: Scene) -> None:
    usage, max_tokens = scene.reply.message()["usage"], scene.body["max_tokens"]
    for name in ("input_tokens", "output_tokens"):
        expect_equal(type(usage.get(name)), int, f"the type of usage.{name}")
    expect_that(prompt_tokens(usage) >= 1, "a prompt of at least one token", usage)
    expect_that(1 <= usage["output_tokens"] <= max_tokens, f"output_tokens from 1 to {max_tokens}", usage)


@then("the count is a positive number")
def the_count_is_a_positive_number(scene: Scene) -> None:
    expect_equal(scene.count.status, 200, "the status")
    count = scene.count.json().get("input_tokens")
    expect_that(type(count) is int and count > 0, "input_tokens to be a positive number", count)


def _expect_documented_stop(message: Json) -> None:
    for name in ("stop_reason", "stop_sequence"):
        expect_that(name in message, f"a field {name}", sorted(message))
    reason, sequence = message["stop_reason"], message["stop_sequence"]
    expect_that(reason in STOP_REASONS, f"stop_reason to be one of {sorted(STOP_REASONS)}", reason)
    expect_equal(isinstance(sequence, str), reason == "stop_sequence", "stop_sequence's being a string")


def _without_spaces(text: str) -> str:
    return "".join(text.split())
