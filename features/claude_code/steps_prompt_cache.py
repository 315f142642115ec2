"""Steps about prompts that a server computes once, and about what usage reports of it."""

from __future__ import annotations

import secrets

from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Json, Scene, plain_request, with_field
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import prompt_tokens

_LINE = "The keeper of the lighthouse wrote down every ship that passed, and the weather, and the hour. "
_LINES = 52
_WORD_OF_THE_RUN = secrets.token_hex(8)


@given("a request with a unique long system prompt, marked for caching")
def a_request_with_a_unique_system_prompt(scene: Scene) -> None:
    """It begins with a random word, so that no part of it can be in the cache yet."""
    scene.body = {**plain_request(scene.client.model), "system": [_long_prompt(secrets.token_hex(8))]}


@given("a request with a long system prompt, marked for caching")
def a_request_with_a_long_system_prompt(scene: Scene) -> None:
    """An earlier scenario may have sent it: computing it takes seconds on a slow machine."""
    scene.body = {**plain_request(scene.client.model), "system": [_long_prompt(_WORD_OF_THE_RUN)]}


@when("it is sent with a different first word in its system prompt")
def it_is_sent_with_a_different_first_word(scene: Scene) -> None:
    scene.take_reply(scene.client.post({**scene.body, "system": [_long_prompt(secrets.token_hex(8))]}))


@then(parsers.parse("at least {percent:d} percent of the prompt was read from the cache"))
def at_least_was_read(scene: Scene, percent: int) -> None:
    usage = scene.last.message()["usage"]
    minimum = prompt_tokens(usage) * percent // 100
    expect_that(_read(usage) >= minimum, f"cache_read_input_tokens to be at least {minimum}", usage)


@then(parsers.parse("at most {percent:d} percent of the prompt was read from the cache"))
def at_most_was_read(scene: Scene, percent: int) -> None:
    usage = scene.last.message()["usage"]
    maximum = prompt_tokens(usage) * percent // 100
    expect_that(_read(usage) <= maximum, f"cache_read_input_tokens to be at most {maximum}", usage)


@then("usage breaks the tokens written to the cache down by time to live")
def usage_breaks_down_what_was_written(scene: Scene) -> None:
    usage = scene.reply.message()["usage"]
    written = usage.get("cache_creation_input_tokens") or 0
    cache_creation = usage.get("cache_creation") or {}
    by_ttl = [cache_creation.get(f"ephemeral_{ttl}_input_tokens", 0) for ttl in ("5m", "1h")]
    expect_equal(sum(by_ttl), written, "the sum of cache_creation")
    expect_that(written > 0, "tokens written to the cache by the first request", usage)


@when("it is sent with a max_tokens of 0")
def it_is_sent_with_a_max_tokens_of_0(scene: Scene) -> None:
    scene.take_reply(scene.client.post({**scene.body, "max_tokens": 0}))


@then("it has no content, no output tokens, and stopped at max_tokens")
def it_has_no_content(scene: Scene) -> None:
    message = scene.reply.message()
    expect_equal(message["content"], [], "the content")
    expect_equal(message["stop_reason"], "max_tokens", "stop_reason")
    expect_equal(message["usage"]["output_tokens"], 0, "usage.output_tokens")


@when("its answer is sent back with another question, and diagnostics of both")
def the_conversation_goes_on_with_diagnostics(scene: Scene) -> None:
    message = scene.reply.message()
    answer = {"role": "assistant", "content": message["content"]}
    turns = [*scene.body["messages"], answer, {"role": "user", "content": "And then?"}]
    scene.take_reply(scene.client.post({**scene.body, "messages": turns, **_after(message)}))


@when(parsers.parse('it is sent with "{field}" set to {literal}, and diagnostics of both'))
def it_is_sent_with_another_field_and_diagnostics(scene: Scene, field: str, literal: str) -> None:
    changed = {**with_field(scene.body, field, literal), **_after(scene.reply.message())}
    scene.take_reply(scene.client.post(changed))


@then("its diagnostics are null")
def its_diagnostics_are_null(scene: Scene) -> None:
    expect_equal(scene.reply.message().get("diagnostics"), None, "diagnostics")


@then(parsers.parse('its cache_miss_reason is "{kind}"'))
def its_cache_miss_reason_is(scene: Scene, kind: str) -> None:
    expect_equal(_miss_reason(scene.reply.message())["type"], kind, "the type of cache_miss_reason")


@then(parsers.parse('its cache_miss_reason is "{kind}", with the tokens missed'))
def its_cache_miss_reason_has_tokens(scene: Scene, kind: str) -> None:
    its_cache_miss_reason_is(scene, kind)
    tokens = _miss_reason(scene.reply.message()).get("cache_missed_input_tokens")
    expect_that(type(tokens) is int and tokens > 0, "cache_missed_input_tokens to be a positive number", tokens)


@then(parsers.parse('message_start has the cache_miss_reason "{kind}"'))
def message_start_has_the_cache_miss_reason(scene: Scene, kind: str) -> None:
    start = scene.stream.of_type("message_start")[0]
    expect_equal(_miss_reason(start["message"])["type"], kind, "the type of cache_miss_reason")


def _after(message: Json) -> Json:
    return {"diagnostics": {"previous_message_id": message["id"]}}


def _miss_reason(message: Json) -> Json:
    reason = (message.get("diagnostics") or {}).get("cache_miss_reason")
    expect_that(isinstance(reason, dict), "a cache_miss_reason", message.get("diagnostics"))
    return dict(reason or {})


def _long_prompt(first_word: str) -> Json:
    return {"type": "text", "text": f"{first_word} {_LINE * _LINES}", "cache_control": {"type": "ephemeral"}}


def _read(usage: Json) -> int:
    return int(usage.get("cache_read_input_tokens") or 0)
