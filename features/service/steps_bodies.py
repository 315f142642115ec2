"""Steps about how a request's body is sent."""

from __future__ import annotations

import gzip
import json

from pytest_bdd import parsers, then, when

from features.harness.scene.scene import Scene
from features.harness.wire.client import MESSAGES
from features.harness.wire.expectations import expect_that


@when("it is sent with gzip")
def it_is_sent_with_gzip(scene: Scene) -> None:
    content = gzip.compress(json.dumps(scene.body).encode())
    scene.take_reply(scene.client.send("POST", MESSAGES, content=content, headers={"content-encoding": "gzip"}))


@when("it is sent without a key, in parts")
def it_is_sent_in_parts(scene: Scene) -> None:
    scene.last = scene.client.send_in_parts(scene.body)


@then(parsers.parse('it is answered, or refused as naming "{word}"'))
def it_is_answered_or_refused(scene: Scene, word: str) -> None:
    if scene.last.status == 200:
        scene.last.message()
        return
    expect_that(scene.last.status in (400, 415), "an answer, or a refusal with 400 or 415", scene.last.status)
    message = str(scene.last.json().get("error"))
    expect_that(word in message.lower(), f"the refusal to name {word}", message)
