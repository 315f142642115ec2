"""Steps about keys in requests, and about keys that must not leak."""

from __future__ import annotations

from pytest_bdd import parsers, then, when

from features.harness.scene.scene import Scene
from features.harness.wire.client import MESSAGES
from features.harness.wire.expectations import expect_that
from features.harness.wire.replies import HttpReply


@when(parsers.parse('the client calls "{method} {path}" without a key'))
def the_client_calls_without_a_key(scene: Scene, method: str, path: str) -> None:
    body = scene.body if method == "POST" else None
    scene.last = scene.client.send(method, path, body, with_key=False)


@when("it is streamed without a key")
def it_is_streamed_without_a_key(scene: Scene) -> None:
    scene.last = scene.client.send("POST", MESSAGES, {**scene.body, "stream": True}, with_key=False)


@when(parsers.parse('it is sent without a key, with the header "{header}"'))
def it_is_sent_without_a_key(scene: Scene, header: str) -> None:
    _send_with(scene, header)


@when("it is sent with the first half of the key")
def it_is_sent_with_the_first_half_of_the_key(scene: Scene) -> None:
    key = _key(scene)
    _send_with(scene, f"x-api-key: {key[: len(key) // 2]}")


@when(parsers.parse('it is sent with the key in "{form}"'))
def it_is_sent_with_the_key_in(scene: Scene, form: str) -> None:
    scene.take_reply(_send_with(scene, form.replace("{}", _key(scene))))


@then("the reply does not contain the key")
def the_reply_does_not_contain_the_key(scene: Scene) -> None:
    _expect_absent(scene.last, _key(scene), "the key")


@then(parsers.parse('the reply does not contain "{secret}"'))
def the_reply_does_not_contain(scene: Scene, secret: str) -> None:
    _expect_absent(scene.last, secret, "the wrong key")


def _send_with(scene: Scene, header: str) -> HttpReply:
    name, _, value = header.partition(":")
    scene.last = scene.client.send("POST", MESSAGES, scene.body, headers={name: value.strip()}, with_key=False)
    return scene.last


def _key(scene: Scene) -> str:
    return scene.client.target.api_key or ""


def _expect_absent(reply: HttpReply, secret: str, what: str) -> None:
    expect_that(reply.status in (200, 401), "an answer or a refusal of the key", reply.status)
    places = {"the body": reply.body.decode("utf-8", "replace"), **reply.headers}
    found = [place for place, text in places.items() if secret in text]
    expect_that(not found, f"{what} to be absent from the reply", f"it is in {found}")
