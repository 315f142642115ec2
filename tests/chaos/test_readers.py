"""Clients that do not read, do not send, or send too fast: others are served meanwhile, and nothing of them remains."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import h2.errors
import pytest

from tests.chaos.arena import IS_WHOLE, Arena, ask
from tests.chaos.connections import (
    STREAM,
    begin_and_stop,
    connected,
    head,
    http_2,
    left_early,
    open_stream,
    ready_clients,
    rest_of,
)
from tests.support.waiting import wait_until

NUM_READERS = 12
"""Four fewer than may run at the same time."""
NUM_BODIES = 30 if IS_WHOLE else 12
BODY_BYTES = 31 * 1000 * 1000
MAX_BODIES_BYTES = 250 * 1000 * 1000
"""Four times the largest body may be received at the same time, and the process may have copied some of it."""


def num_active(scene: Arena) -> int:
    return int(json.loads(scene.get("/health").body)["requests"]["active"])


@contextmanager
def attack(scene: Arena, name: str) -> Iterator[ExitStack]:
    """While connections on the stack are open, another client is served. Afterwards only the bystander's remains."""
    with scene.attacked(name), ExitStack() as stack:
        yield stack
        scene.wait_for_tokens()
        reply = scene.post(ask())
        assert reply.status == 200, reply.body
    wait_until(lambda: num_active(scene) <= 1)


def test_readers_that_do_not_read(scene: Arena) -> None:
    with attack(scene, "readers that do not read") as stack:
        connections = stack.enter_context(left_early(scene.port, STREAM, NUM_READERS))
        if IS_WHOLE:  # they are disconnected after a minute
            wait_until(lambda: num_active(scene) <= 1)
            for connection in connections:
                rest_of(connection)


def test_clients_that_are_stopped(scene: Arena) -> None:
    number = NUM_READERS if IS_WHOLE else 2
    with ready_clients(scene.port, number) as clients, attack(scene, "stopped clients") as stack:
        for client in clients:
            stack.callback(client.kill)
        begin_and_stop(clients)


def test_http_2_streams_with_empty_windows(scene: Arena) -> None:
    with attack(scene, "HTTP/2 streams with empty windows") as stack:
        connection, http = http_2(scene.port, window_bytes=0)
        stack.enter_context(contextlib.closing(connection))
        for _ in range(NUM_READERS):
            open_stream(http, STREAM)
        connection.sendall(http.data_to_send())
        wait_until(lambda: num_active(scene) > NUM_READERS // 2)
        if IS_WHOLE:
            wait_until(lambda: num_active(scene) <= 1)


@pytest.mark.parametrize("start", [b"", b"POST /v1/messages HTTP/1.1\r\nhost:", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_connections_without_a_request(scene: Arena, start: bytes) -> None:
    with attack(scene, f"100 connections that only send {start[:4]!r}") as stack:
        for _ in range(100):
            connection = stack.enter_context(contextlib.closing(connected(scene.port)))
            connection.sendall(start)


def test_requests_that_are_reset_at_once(scene: Arena) -> None:
    with attack(scene, "rapid resets") as stack:
        connection, http = http_2(scene.port, window_bytes=65_535)
        stack.enter_context(contextlib.closing(connection))
        for _ in range(2000):
            http.reset_stream(open_stream(http, {}), h2.errors.ErrorCodes.CANCEL)
        with contextlib.suppress(ConnectionError):  # the server may close such a connection
            connection.sendall(http.data_to_send())


def test_bodies_that_never_arrive(scene: Arena) -> None:
    resident = scene.server.resident_bytes()
    with attack(scene, f"{NUM_BODIES} bodies of 31 MB without their last byte") as stack:
        data = b" " * (BODY_BYTES - 1)
        for _ in range(NUM_BODIES):
            connection = stack.enter_context(contextlib.closing(connected(scene.port, 2**18)))
            with contextlib.suppress(ConnectionError):  # it may be given up for another one while it is sent
                connection.sendall(head(BODY_BYTES) + data)
        assert scene.server.resident_bytes() - resident < MAX_BODIES_BYTES
