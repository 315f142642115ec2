"""Steps about prompts that a server computes once, and about what usage reports of it."""

from __future__ import annotations

import secrets

from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Json, Scene, plain_request
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import prompt_tokens

_LINE = "The keeper of the lighthouse wrote down every ship that passed, and the weather, and the hour. "
_LINES = 68


@given("a request with a unique long system prompt, marked for caching")
def a_request_with_a_long_system_prompt(scene: Scene) -> None:
    """It begins with a random word, so that no part of it can be in the cache yet."""
    scene.body = {**plain_request(scene.client.model), "system": [_marked(f"{secrets.token_hex(8)} {_LINE * _LINES}")]}


@when("it is sent with a different first word in its system prompt")
def it_is_sent_with_a_different_first_word(scene: Scene) -> None:
    other = _marked(f"{secrets.token_hex(8)} {_LINE * _LINES}")
    scene.take_reply(scene.client.post({**scene.body, "system": [other]}))


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


def _marked(text: str) -> Json:
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}


def _read(usage: Json) -> int:
    return int(usage.get("cache_read_input_tokens") or 0)
