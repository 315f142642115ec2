"""Steps about a server that gives each client a key of its own."""

from __future__ import annotations

import dataclasses

from pytest_bdd import given, parsers, then, when

from features.harness.scene.scene import Scene
from features.harness.target.target import TargetServer
from features.harness.wire.client import MESSAGES, Client
from features.harness.wire.expectations import expect_that
from features.harness.wire.replies import prompt_tokens
from features.harness.wire.transcript import Transcript


@given("a server that accepts two keys", target_fixture="keys")
def a_server_that_accepts_two_keys(
    scene: Scene, target: TargetServer, second_key: str, transcript: Transcript
) -> dict[str, str]:
    scene.client = Client(target, transcript)
    return {"first": target.api_key or "", "second": second_key}


@given(parsers.parse('it names the user "{user}"'))
def it_names_the_user(scene: Scene, user: str) -> None:
    scene.body = {**scene.body, "metadata": {"user_id": user}}


@when(parsers.parse('it is sent with the {which} key in "{form}"'))
def it_is_sent_with_a_key_in(scene: Scene, keys: dict[str, str], which: str, form: str) -> None:
    name, _, value = form.format(keys[which]).partition(":")
    reply = scene.client.send("POST", MESSAGES, scene.body, headers={name: value.strip()}, with_key=False)
    scene.take_reply(reply)


@when("it is sent with the second key")
def it_is_sent_with_the_second_key(scene: Scene, keys: dict[str, str], transcript: Transcript) -> None:
    scene.message = scene.take_reply(_second_client(scene, keys, transcript).post(scene.body)).message()


@when("it is streamed with the second key")
def it_is_streamed_with_the_second_key(scene: Scene, keys: dict[str, str], transcript: Transcript) -> None:
    scene.message = scene.take_stream(_second_client(scene, keys, transcript).stream(scene.body)).message()


@then(parsers.parse("at most {percent:d} percent of that prompt was read from the cache"))
def at_most_was_read_of_that_prompt(scene: Scene, percent: int) -> None:
    usage = scene.message["usage"]
    maximum = prompt_tokens(usage) * percent // 100
    read = usage.get("cache_read_input_tokens") or 0
    expect_that(read <= maximum, f"cache_read_input_tokens to be at most {maximum}", usage)


@then(parsers.parse("at least {percent:d} percent of that prompt was read from the cache"))
def at_least_was_read_of_that_prompt(scene: Scene, percent: int) -> None:
    usage = scene.message["usage"]
    minimum = prompt_tokens(usage) * percent // 100
    read = usage.get("cache_read_input_tokens") or 0
    expect_that(read >= minimum, f"cache_read_input_tokens to be at least {minimum}", usage)


def _second_client(scene: Scene, keys: dict[str, str], transcript: Transcript) -> Client:
    return Client(dataclasses.replace(scene.client.target, api_key=keys["second"]), transcript)
