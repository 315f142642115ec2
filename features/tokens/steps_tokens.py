"""Steps about token counts."""

from __future__ import annotations

from pytest_bdd import then

from features.harness.scene.scene import Scene
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import prompt_tokens


@then("the count equals the reply's usage")
def the_count_equals_the_replys_usage(scene: Scene) -> None:
    used = prompt_tokens(scene.reply.message()["usage"])
    expect_equal(scene.count.json()["input_tokens"], used, "the count")


@then("the other request's count is larger")
def the_other_count_is_larger(scene: Scene) -> None:
    one, other = (count.json()["input_tokens"] for count in (scene.count, scene.other_count))
    expect_that(other > one, f"the other request's count to be over {one}", other)


@then("both counts are the same")
def both_counts_are_the_same(scene: Scene) -> None:
    one, other = (count.message()["input_tokens"] for count in (scene.count, scene.other_count))
    expect_equal(other, one, "the other request's count")


@then("message_start counts the same number of input tokens")
def message_start_counts_the_same(scene: Scene) -> None:
    start = scene.stream.of_type("message_start")[0]
    expect_equal(
        prompt_tokens(start["message"]["usage"]),
        scene.count.json()["input_tokens"],
        "the prompt in message_start's usage",
    )
