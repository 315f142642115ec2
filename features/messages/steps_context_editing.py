"""Steps about parts of a conversation that the server clears."""

from __future__ import annotations

from typing import Any

from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Json, Scene, plain_request, without_field
from features.harness.scene.toolbox import tool
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import prompt_tokens

_LONG = "The keeper of the lighthouse wrote down every ship that passed. " * 2


@given(parsers.parse('a conversation with three long results of the tool "{name}"'))
def a_conversation_with_three_results(scene: Scene, name: str) -> None:
    scene.body["tools"] = [tool(name, "bounded")]
    turns: list[Json] = [{"role": "user", "content": "Read the books of the lighthouse."}]
    for number in range(3):
        call_id = f"toolu_0{number}"
        call = {"type": "tool_use", "id": call_id, "name": name, "input": {"city": "Oslo " * 12, "days": 2}}
        result = {"type": "tool_result", "tool_use_id": call_id, "content": f"Book {number}: {_LONG}"}
        turns += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    scene.body["messages"] = turns


@given("a conversation of two answers with thinking")
def a_conversation_of_two_answers_with_thinking(scene: Scene) -> None:
    """The answers are the server's own, since it may verify the signatures."""
    body = plain_request(scene.client.model, "Reason before you answer.")
    scene.body = body | {"max_tokens": 1200, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    question = scene.body["messages"][0]
    for _ in range(2):
        answer = {"role": "assistant", "content": scene.client.post(scene.body).message()["content"]}
        scene.body["messages"] = [*scene.body["messages"], answer, question]


@when(parsers.parse('it is sent without "{field}", and then with it'))
def it_is_sent_without_and_with(scene: Scene, field: str) -> None:
    scene.other_reply = scene.client.post(without_field(scene.body, field))
    scene.take_reply(scene.client.post(scene.body))


@then("its applied edits are empty")
def its_applied_edits_are_empty(scene: Scene) -> None:
    expect_equal(_applied(scene.reply.message()), [], "context_management.applied_edits")


@then(parsers.parse('its applied edits are one "{kind}" with {number:d} "{what}"'))
def its_applied_edits_are_one(scene: Scene, kind: str, number: int, what: str) -> None:
    edits = _applied(scene.reply.message())
    expect_equal([(edit.get("type"), edit.get(what)) for edit in edits], [(kind, number)], "the applied edits")


@then("its prompt is shorter by the tokens that its applied edits report")
def its_prompt_is_shorter(scene: Scene) -> None:
    whole, edited = (prompt_tokens(reply.message()["usage"]) for reply in (scene.other_reply, scene.reply))
    expect_that(edited < whole, f"a prompt of fewer than {whole} tokens", edited)
    expect_equal(_cleared_tokens(scene.reply.message()), whole - edited, "cleared_input_tokens")


@then("both prompts are of the same length")
def both_prompts_are_of_the_same_length(scene: Scene) -> None:
    one, other = (prompt_tokens(reply.message()["usage"]) for reply in (scene.reply, scene.other_reply))
    expect_equal(one, other, "the prompt's tokens")


@then("the other request's applied edits clear more tokens")
def the_others_edits_clear_more(scene: Scene) -> None:
    one, other = (_cleared_tokens(reply.message()) for reply in (scene.reply, scene.other_reply))
    expect_that(other > one > 0, f"cleared_input_tokens over {one}", other)


@then("the last message_delta has the reply's applied edits")
def the_last_message_delta_has_the_edits(scene: Scene) -> None:
    edits = _applied(scene.reply.message())
    expect_that(edits, "applied edits in the reply", edits)
    expect_equal(_applied(scene.stream.of_type("message_delta")[-1]), edits, "the applied edits of message_delta")


@then("the count equals the reply's usage after the edits, and the other's before them")
def the_count_has_both_numbers(scene: Scene) -> None:
    count = scene.count.json()
    whole, edited = (prompt_tokens(reply.message()["usage"]) for reply in (scene.other_reply, scene.reply))
    expect_equal(count["input_tokens"], edited, "input_tokens")
    expect_equal((count.get("context_management") or {}).get("original_input_tokens"), whole, "original_input_tokens")


def _applied(answer: Json) -> list[Any]:
    edits = (answer.get("context_management") or {}).get("applied_edits")
    expect_that(isinstance(edits, list), "context_management.applied_edits", answer.get("context_management"))
    return list(edits or [])


def _cleared_tokens(message: Json) -> int:
    return sum(edit["cleared_input_tokens"] for edit in _applied(message))
