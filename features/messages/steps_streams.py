"""Steps about streams."""

from __future__ import annotations

from pytest_bdd import parsers, then

from features.harness.scene.scene import Scene, expect_same_answer
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import prompt_tokens
from features.harness.wire.stream_grammar import violations


@then("every event's name is the type of its data")
def every_events_name_is_its_type(scene: Scene) -> None:
    for event, data in zip(scene.stream.events, scene.stream.objects(), strict=True):
        expect_equal(event.name, data.get("type"), "the event's name")


@then("the connection closed cleanly")
def the_connection_closed_cleanly(scene: Scene) -> None:
    expect_that(scene.stream.objects(), "events", None)
    expect_equal(scene.stream.broken_by, None, "what broke the connection")


@then(parsers.re(r"the stream satisfies clause (?P<clause>MS-\d+)"))
def the_stream_satisfies_clause(scene: Scene, clause: str) -> None:
    broken = [str(violation) for violation in violations(scene.stream.objects()) if violation.clause.id == clause]
    expect_that(not broken, f"clause {clause} to hold", broken)


@then("the stream satisfies every clause")
def the_stream_satisfies_every_clause(scene: Scene) -> None:
    broken = [str(violation) for violation in violations(scene.stream.objects())]
    expect_that(not broken, "every clause to hold", broken)


@then(parsers.parse('its last event is "{kind}"'))
def its_last_event_is(scene: Scene, kind: str) -> None:
    expect_equal(scene.stream.kinds()[-1], kind, "the last event")


@then(parsers.parse('its only error is its last event, an "{kind}"'))
def its_only_error_is_its_last_event(scene: Scene, kind: str) -> None:
    kinds = scene.stream.kinds()
    expect_that(kinds[:1] == ["message_start"], "a failure after the first byte", kinds)
    expect_that(kinds[-1] == "error" and kinds.count("error") == 1, "one error, at the end", kinds)
    expect_equal(scene.stream.of_type("error")[0]["error"]["type"], kind, "error.type")


@then("the stream matches the reply")
def the_stream_matches_the_reply(scene: Scene) -> None:
    expect_same_answer(scene.reply.message(), scene.stream.message())


@then("the stream's usage adds up to the reply's usage")
def the_streams_usage_adds_up(scene: Scene) -> None:
    replied = scene.reply.message()["usage"]
    started = scene.stream.of_type("message_start")[0]["message"]["usage"]
    ended = scene.stream.message()["usage"]
    expect_equal(prompt_tokens(started), prompt_tokens(replied), "the prompt's tokens at the stream's start")
    expect_equal(prompt_tokens(ended), prompt_tokens(replied), "the prompt's tokens at the stream's end")
    expect_equal(ended["output_tokens"], replied["output_tokens"], "output_tokens at the stream's end")


@then("message_start names the request's model")
def message_start_names_the_requests_model(scene: Scene) -> None:
    start = scene.stream.of_type("message_start")[0]
    expect_equal(start["message"]["model"], scene.body["model"], "model")
