"""Bytes that cost a server more than they cost their client: others have their turns in between."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final

import pytest

from tests.chaos.arena import IS_WHOLE, Arena
from tests.chaos.connections import connected

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
CHUNKED: Final = b"POST /models/load HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
NUM_PARTS: Final = 40 if IS_WHOLE else 4
FLOODS: Final[Mapping[str, tuple[bytes, bytes]]] = {
    "settings of HTTP/2": (PREFACE, b"\0\0\0\4\0\0\0\0\0" * 7000),
    "pings of HTTP/2": (PREFACE, b"\0\0\x08\6\0\0\0\0\x0012345678" * 4000),
    "unknown frames of HTTP/2": (PREFACE, b"\0\0\0\x63\0\0\0\0\0" * 7000),
    "chunks of one byte": (CHUNKED, b"1\r\na\r\n" * 10_000),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_leaves_others_their_turns(scene: Arena, name: str) -> None:
    start, part = FLOODS[name]
    with scene.attacked(f"a flood of {name}"), contextlib.closing(connected(scene.port, 2**20)) as connection:
        connection.sendall(start)
        with contextlib.suppress(ConnectionError):  # the server may close such a connection
            for _ in range(NUM_PARTS):
                connection.sendall(part)
        scene.wait_for_tokens()


@pytest.mark.parametrize("path", ["/models/load", "/models/unload", "/v1/messages"])
def test_bodies_that_stop_leave_a_route_to_others(scene: Arena, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 30\r\n\r\n".encode()
    with scene.attacked(f"100 bodies that stop, for {path}"), contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(contextlib.closing(connected(scene.port))).sendall(head + b'{"model": ')
        assert scene.post({"model": "no-such-model", "max_tokens": 1, "messages": []}, path).status in (400, 404)


def test_a_model_in_use_stays_loaded_during_requests_to_unload_it(scene: Arena) -> None:
    with scene.attacked("requests to unload the model"):
        replies = scene.post_at_once({"model": "claude-any"}, 8, "/models/unload")
    assert {reply.status for reply in replies} == {529}, replies[0].body


def test_answers_of_routes_for_monitors_that_no_client_reads(scene: Arena) -> None:
    with scene.attacked("100 answers of /metrics and /logs without a reader"), contextlib.ExitStack() as stack:
        for number in range(100):
            path = b"/metrics" if number % 2 else b"/logs?after=0"
            connection = stack.enter_context(contextlib.closing(connected(scene.port)))
            connection.sendall(b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert scene.get("/metrics", accept="application/openmetrics-text; version=x.y").status == 200
