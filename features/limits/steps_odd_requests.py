"""Steps about requests that no SDK sends."""

from __future__ import annotations

import base64

from pytest_bdd import parsers, then, when

from features.harness.scene.scene import Scene
from features.harness.wire.expectations import expect_that

_HANDSHAKE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": base64.b64encode(bytes(16)).decode(),
}


@when(parsers.parse("the path {path} is requested"))
def the_path_is_requested(scene: Scene, path: str) -> None:
    scene.last = scene.client.send("GET", f"{scene.client.target.url.rstrip('/')}{path}")


@when(parsers.parse("the models are listed with a limit of {number:d} digits"))
def the_models_are_listed(scene: Scene, number: int) -> None:
    scene.last = scene.client.send("GET", f"/v1/models?limit={'9' * number}")


@when(parsers.parse('the metrics are requested as "{accept}"'))
def the_metrics_are_requested(scene: Scene, accept: str) -> None:
    scene.last = scene.client.send("GET", "/metrics", headers={"accept": accept})


@when(parsers.parse('a page of "{origin}" asks for a WebSocket at {path}'))
def a_page_asks_for_a_websocket(scene: Scene, origin: str, path: str) -> None:
    scene.last = scene.client.send("GET", path, headers={**_HANDSHAKE, "origin": origin})


@then("its status says that the server did not fail")
def the_server_did_not_fail(scene: Scene) -> None:
    expect_that(scene.last.status < 500, "a status below 500", scene.last.status)


@then("it did not become a WebSocket")
def it_did_not_become_a_websocket(scene: Scene) -> None:
    expect_that(scene.last.status != 101, "a status other than 101 Switching Protocols", scene.last.status)
