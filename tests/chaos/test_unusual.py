"""Requests that used to be answered with a 500, or not at all."""

from __future__ import annotations

import pytest

from tests.chaos.arena import Arena

HANDSHAKE = {
    "upgrade": "websocket",
    "connection": "upgrade",
    "sec-websocket-key": "eA==",
    "sec-websocket-version": "13",
}
UNUSUAL = {
    "a limit of 5,000 digits": (f"/v1/models?limit={'9' * 5000}", {}, {400}),
    "a host with two dots": ("/v1/models", {"host": "localhost.."}, {403}),
    "a WebSocket handshake": ("/v1/messages", HANDSHAKE, {400, 403, 404, 405}),
    "a WebSocket handshake of a foreign page": (
        "/v1/messages",
        {**HANDSHAKE, "origin": "http://evil"},
        {400, 403, 404},
    ),
    "a doubled slash": ("/v1//models", {}, {200, 404}),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_is_refused_with_a_status_of_its_own(scene: Arena, name: str) -> None:
    path, headers, statuses = UNUSUAL[name]
    with scene.attacked(name):
        reply = scene.get(path, **headers)
    assert reply.status in statuses, reply.body
