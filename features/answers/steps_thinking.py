"""Steps about thinking blocks, streamed and not."""

from __future__ import annotations

from itertools import groupby

from pytest_bdd import then, when

from features.harness.scene.scene import Json, Scene
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import blocks_of, text_of, thinking_of


@when("its answer is sent back with another question")
def its_answer_is_sent_back(scene: Scene) -> None:
    answer = {"role": "assistant", "content": scene.reply.message()["content"]}
    question = {"role": "user", "content": "And then?"}
    turns = [*scene.body["messages"], answer, question]
    scene.take_reply(scene.client.post({**scene.body, "messages": turns}))


@then("each thinking block has thinking and a signature")
def each_thinking_block_is_signed(scene: Scene) -> None:
    for block in blocks_of(scene.reply.message(), "thinking"):
        for name in ("thinking", "signature"):
            expect_that(isinstance(block[name], str) and block[name], f"a {name}", block)


@then("each thinking block has a signature and no thinking")
def each_thinking_block_is_omitted(scene: Scene) -> None:
    for block in blocks_of(scene.reply.message(), "thinking"):
        expect_equal(block["thinking"], "", "the thinking of an omitted block")
        expect_that(isinstance(block["signature"], str) and block["signature"], "a signature", block)


@then("the text contains none of the thinking")
def the_text_contains_no_thinking(scene: Scene) -> None:
    message = scene.reply.message()
    thinking, text = thinking_of(message).strip(), text_of(message)
    expect_that(text.strip(), "text after the thinking", message["content"])
    expect_that(thinking not in text and "<think>" not in text, "text without the thinking", text)


@then("each thinking block has thinking deltas, then one signature")
def each_thinking_block_ends_with_a_signature(scene: Scene) -> None:
    thoughts = _thinking_deltas(scene)
    expect_that(thoughts, "a thinking block", scene.stream.kinds())
    for deltas in thoughts:
        kinds = [kind for kind, _ in groupby(delta["type"] for delta in deltas)]
        expect_equal(kinds, ["thinking_delta", "signature_delta"], "the deltas of a thinking block")
        expect_that(deltas[-1]["signature"], "a signature", deltas[-1])
        expect_equal(len([delta for delta in deltas if "signature" in delta]), 1, "the number of signatures")


@then("each thinking block starts with an empty signature")
def each_thinking_block_starts_empty(scene: Scene) -> None:
    starts = [event["content_block"] for event in scene.stream.of_type("content_block_start")]
    thoughts = [block for block in starts if block["type"] == "thinking"]
    expect_that(thoughts, "a thinking block", starts)
    for block in thoughts:
        expect_equal((block["thinking"], block["signature"]), ("", ""), "thinking and signature at the start")


@then("it has no thinking block")
def it_has_no_thinking_block(scene: Scene) -> None:
    message = scene.reply.message()
    expect_that(message["content"], "an answer", message)
    kinds = {block["type"] for block in message["content"]}
    expect_that(not kinds & {"thinking", "redacted_thinking"}, "no thinking", message["content"])


@then("its usage has more output tokens than its text has words")
def it_has_more_output_tokens(scene: Scene) -> None:
    message = scene.reply.message()
    words = len(text_of(message).split())
    used = message["usage"]["output_tokens"]
    expect_that(thinking_of(message), "thinking", message["content"])
    expect_that(used > words + 1, f"more than {words + 1} output tokens", used)


@then("its usage has thinking tokens, but fewer than output tokens")
def its_usage_has_thinking_tokens(scene: Scene) -> None:
    message = scene.reply.message()
    words = len(thinking_of(message).split())
    tokens = _thinking_tokens(message)
    rest = len(text_of(message).split())
    expect_that(tokens >= words > 0, f"at least {words} thinking tokens", message["usage"])
    expect_that(tokens + rest <= message["usage"]["output_tokens"], "tokens for the text as well", message["usage"])


@then("the stream's usage has the same thinking tokens")
def the_streams_usage_has_the_same_thinking_tokens(scene: Scene) -> None:
    expect_equal(_thinking_tokens(scene.stream.message()), _thinking_tokens(scene.reply.message()), "thinking_tokens")


def _thinking_tokens(message: Json) -> int:
    details = message["usage"].get("output_tokens_details") or {}
    expect_equal(type(details.get("thinking_tokens")), int, "the type of output_tokens_details.thinking_tokens")
    return int(details["thinking_tokens"])


def _thinking_deltas(scene: Scene) -> list[list[Json]]:
    """The deltas of each thinking block."""
    events = scene.stream.of_type("content_block_start")
    indices = [event["index"] for event in events if event["content_block"]["type"] == "thinking"]
    deltas = scene.stream.of_type("content_block_delta")
    return [[event["delta"] for event in deltas if event["index"] == index] for index in indices]
