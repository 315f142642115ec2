"""Bodies that never arrive are given up, and those of all clients together have a limit."""

from __future__ import annotations

import json
import select
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from pensieve.api import server_state
from pensieve.api.http.connections.incoming_bodies import IncomingBodies
from pensieve.api.http.connections.limits import ConnectionLimits
from tests.support.running_server import ask, scripted_server
from tests.support.waiting import wait_until

ROUTES = ("/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions", "/v1/completions")
UNLIMITED = 600.0
limits = partial(ConnectionLimits, max_refused_pause_seconds=0.1)


@contextmanager
def limited_server(folder: Path, monkeypatch: pytest.MonkeyPatch, given: ConnectionLimits) -> Iterator[httpx.Client]:
    monkeypatch.setattr(server_state, "ServerState", partial(server_state.ServerState, limits=given))
    with scripted_server(folder) as client:
        yield client


def begin(client: httpx.Client, path: str, part: bytes, num_bytes: int = 1000) -> socket.socket:
    """Send the first part of a body."""
    connection = socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=60)
    connection.sendall(
        b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (path.encode(), num_bytes)
    )
    connection.sendall(part)
    return connection


def answer(connection: socket.socket) -> HTTPResponse:
    response = HTTPResponse(connection)
    response.begin()
    return response


def error_of(response: HTTPResponse) -> dict[str, str]:
    error: dict[str, str] = json.loads(response.read())["error"]
    return error


def sizes_of_parts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of every part of a body that a server in this process has received, in order."""
    sizes: list[int] = []
    original = IncomingBodies.receive

    async def noted(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for part in parts:
            sizes.append(len(part))
            yield part

    async def receive(self: IncomingBodies, parts: AsyncIterator[bytes], max_bytes: int) -> bytes:
        return await original(self, noted(parts), max_bytes)

    monkeypatch.setattr(IncomingBodies, "receive", receive)
    return sizes


@pytest.mark.parametrize("path", ROUTES)
def test_a_body_that_pauses_for_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    with (
        limited_server(tmp_path, monkeypatch, limits(max_pause_seconds=0.1)) as client,
        closing(begin(client, path, b'{"model": ')) as stalled,
    ):
        refusal = answer(stalled)
        assert refusal.status == 408
        assert refusal.getheader("x-should-retry") is None, "SDKs may try again"
        assert error_of(refusal)["message"].startswith("body: incomplete after a pause of 0.1 seconds")
        assert stalled.recv(1) == b"", "the connection is closed"


def test_a_body_that_trickles_is_refused_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        limited_server(tmp_path, monkeypatch, limits(max_pause_seconds=UNLIMITED, max_body_seconds=0.3)) as client,
        closing(begin(client, "/v1/messages", b" ")) as trickling,
    ):
        for _ in range(20):
            if select.select([trickling], [], [], 0.02)[0]:
                break
            trickling.sendall(b" ")
        assert answer(trickling).status == 408


def test_a_body_that_stalls_makes_room_for_one_that_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    received = sizes_of_parts(monkeypatch)
    with (
        limited_server(tmp_path, monkeypatch, limits(max_total_bytes=1000)) as client,
        closing(begin(client, "/v1/messages", b" " * 300)) as first,
        closing(begin(client, "/v1/chat/completions", b" " * 300)) as second,
    ):
        wait_until(lambda: sum(received) == 600)
        first.sendall(b" " * 300)
        wait_until(lambda: sum(received) == 900)
        assert client.post("/v1/messages", json=ask("Hello" * 60)).status_code == 200
        refusal = answer(second)
        assert refusal.status == 529, "the one that has paused for longest"
        assert refusal.getheader("retry-after") is not None
        first.sendall(b" " * 399 + b"!")
        assert answer(first).status == 400, "it was kept, and read to its end"


def test_the_bodies_that_have_ended_leave_their_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with limited_server(tmp_path, monkeypatch, limits(max_total_bytes=1000)) as client:
        for _ in range(3):
            begin(client, "/v1/messages", b" " * 600).close()
            assert client.post("/v1/messages", json=ask("Hello" * 60)).status_code == 200
            assert client.post("/v1/messages", json=ask("Hello" * 60, max_tokens=0.5)).status_code == 400
        assert client.post("/v1/messages", json=ask("Hello" * 300)).status_code == 529, "more than all may have"
