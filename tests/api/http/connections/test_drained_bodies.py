"""A refusal waits for the body that it refuses, within limits."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from pensieve.api.http.connections.drained_bodies import DrainedBodies
from tests.support.running_server import ask, scripted_server

PIECE = b"x" * 100


async def refuses(scope: Any, receive: Any, send: Any) -> None:
    """An app that receives messages while it answers, as Quart does."""

    async def receives() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    receiver = asyncio.create_task(receives())
    await asyncio.sleep(0)
    await send({"type": "http.response.start", "status": 401, "headers": []})
    receiver.cancel()


def headers_after(num_pieces: int, *, ends: bool = True, version: str = "1.1", max_bytes: int = 1000) -> list[object]:
    """The headers of a refusal to a client that sends `num_pieces`, and then stays silent unless its body `ends`."""

    async def play() -> list[object]:
        num_received, sent = 0, list[Any]()

        async def receive() -> Any:
            nonlocal num_received
            await asyncio.sleep(0)
            if num_received == num_pieces and not ends:
                await asyncio.Event().wait()
            num_received += 1
            return {"type": "http.request", "body": PIECE, "more_body": num_received < num_pieces or not ends}

        async def send(message: Any) -> None:
            sent.append(message)

        app = DrainedBodies(refuses, max_bytes=max_bytes, max_seconds=600 if ends else 0.05)
        scope: Any = {"type": "http", "http_version": version}
        await app(scope, receive, send)
        headers: list[object] = sent[0]["headers"]
        return headers

    return asyncio.run(play())


def test_a_refusal_comes_once_the_body_has_ended() -> None:
    assert headers_after(9) == []


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_beyond_the_limits_the_connection_is_closed(version: str) -> None:
    assert headers_after(30, version=version) == [(b"connection", b"close")], "of bytes"
    assert headers_after(3, ends=False, version=version) == [(b"connection", b"close")], "of seconds"


def test_http_2_has_no_connection_header() -> None:
    assert headers_after(30, version="2") == []


def in_two_parts() -> Iterator[bytes]:
    """The second part is sent when an early refusal would already have closed the connection."""
    yield b'{"model": '
    time.sleep(0.1)
    yield b'"m"}'


def refusal_while_sending(url: httpx.URL, path: str, headers: Mapping[str, str], parts: Iterable[bytes]) -> int:
    """The status of a refusal that is read only once all parts were sent."""
    with contextlib.closing(http.client.HTTPConnection(url.host, url.port or 0, timeout=60)) as connection:
        connection.request("POST", path, parts, {"transfer-encoding": "chunked", **headers}, encode_chunked=True)
        response = connection.getresponse()
        response.read()
        assert response.getheader("connection") is None
        return response.status


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.URL]:
    with scripted_server(tmp_path_factory.mktemp("guarded"), api_key="secret", rate_limit="5") as client:
        yield client.base_url


KEY = {"x-api-key": "secret"}


@pytest.mark.parametrize(
    ("status", "path", "headers"),
    [
        (401, "/v1/messages", {}),
        (403, "/v1/messages", {**KEY, "host": "evil.example"}),
        (404, "/v1/nothing", KEY),
        (405, "/v1/models", KEY),
        (415, "/v1/messages", {**KEY, "content-encoding": "br"}),
        (429, "/v1/messages", KEY),
    ],
)
def test_a_refusal_reaches_a_client_that_is_still_sending(
    guarded: httpx.URL, status: int, path: str, headers: dict[str, str]
) -> None:
    if status == 429:
        while httpx.post(f"{guarded}{path}", json={}, headers=KEY).status_code != 429:
            pass
    assert refusal_while_sending(guarded, path, headers, in_two_parts()) == status


def test_a_refusal_reaches_a_client_that_sends_too_much(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        parts = [bytes(340_000)] * 100
        assert refusal_while_sending(client.base_url, "/v1/messages", {}, parts) == 413
        length = {"content-length": str(100 * 340_000)}
        assert client.post("/v1/messages", content=b"".join(parts), headers=length).status_code == 413


def test_a_client_that_waits_for_100_continue_is_refused_too(tmp_path: Path) -> None:
    head = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\ncontent-length: 4\r\n\r\n"
    with scripted_server(tmp_path, api_key="secret") as client:
        address = (client.base_url.host, client.base_url.port or 0)
        with socket.create_connection(address, timeout=60) as connection, connection.makefile("rb") as answer:
            connection.sendall(head)
            first = answer.readline()
            if b" 100 " in first:
                while answer.readline().strip():
                    pass
                connection.sendall(b"{}  ")
                first = answer.readline()
    assert first.startswith(b"HTTP/1.1 401")


def test_http_2_clients_get_their_refusal_too(tmp_path: Path) -> None:
    httpx2 = pytest.importorskip("httpx2")
    with (
        scripted_server(tmp_path, api_key="secret") as client,
        httpx2.Client(http1=False, http2=True, base_url=str(client.base_url)) as http_2,
    ):
        reply = http_2.post("/v1/messages", content=in_two_parts())
        assert (reply.status_code, reply.http_version) == (401, "HTTP/2")
        assert http_2.post("/v1/messages", json=ask(), headers={"x-api-key": "secret"}).status_code == 200
