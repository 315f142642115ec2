"""Requests that no SDK sends are answered or refused by name, and none gets past the access rules."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.running_server import ask, scripted_server

HANDSHAKE = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": base64.b64encode(bytes(16)).decode(),
}


@contextmanager
def server(folder: Path, **flags: str) -> Iterator[httpx.Client]:
    with scripted_server(folder, **flags) as client:
        yield client
        assert client.get("/health").status_code == 200


def test_hosts_that_are_no_names_are_refused_like_other_hosts(tmp_path: Path) -> None:
    hosts = ("localhost..", "a..b", "..", ".", "x" * 64, "x" * 300, "127.0.0.1..", "[::1", "*")
    with server(tmp_path) as client:
        for host in hosts:
            for path in ("/v1/models", "/health", "/v1//models"):
                refused = client.get(path, headers={"host": host})
                assert (refused.status_code, "host: " in refused.text) == (403, True), host
        assert client.get("/v1/models", headers={"host": "localhost."}).status_code == 200


def test_a_network_server_accepts_hosts_that_are_no_names(tmp_path: Path) -> None:
    with server(tmp_path, host="0.0.0.0", api_key="secret") as client:  # noqa: S104
        for host in ("localhost..", "x" * 64):
            answered = client.get("/v1/models", headers={"host": host, "x-api-key": "secret"})
            assert answered.status_code == 200, host


def test_doubled_slashes_in_a_path_count_as_one(tmp_path: Path) -> None:
    """A base URL that ends with a slash, joined to a path that begins with one."""
    with server(tmp_path) as client:
        base = str(client.base_url).rstrip("/")
        for path in ("//v1/models", "/v1//models", "///v1///models"):
            assert httpx.get(f"{base}{path}").json()["data"][0]["id"] == "scripted", path
        assert httpx.get(f"{base}/v1/models//scripted").json()["id"] == "scripted"
        assert httpx.post(f"{base}/v1//messages", json=ask()).json()["type"] == "message"
        assert httpx.get(f"{base}/v1/models//").status_code == 404


def test_a_limit_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    with server(tmp_path) as client:
        for limit in ("9" * 5000, "0" * 5000 + "1", "1_0", "-1", "1.0", "²", ""):
            refused = client.get("/v1/models", params={"limit": limit})
            assert refused.status_code == 400, limit
            assert refused.json()["error"]["message"].startswith("limit: must be a whole number")
        assert client.get("/v1/models?limit=0001").status_code == 200


def test_a_websocket_handshake_is_answered_like_any_other_request(tmp_path: Path) -> None:
    """RFC 9110, section 7.8: a server that speaks HTTP alone ignores the upgrade."""
    with server(tmp_path) as client:
        for path, status in (("/v1/messages", 405), ("/v1/realtime", 404), ("/health", 200)):
            answered = client.get(path, headers=HANDSHAKE)
            assert (answered.status_code, answered.headers["content-type"]) == (status, "application/json"), path
            assert answered.headers["request-id"]
        foreign = ({"origin": "https://evil.example"}, {"host": "evil.example"})
        for header in foreign:
            refused = client.get("/health", headers={**HANDSHAKE, **header})
            assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")


def test_a_websocket_handshake_needs_the_key(tmp_path: Path) -> None:
    with server(tmp_path, api_key="secret") as client:
        assert client.get("/v1/models", headers=HANDSHAKE).status_code == 401


def test_a_query_that_is_not_utf8_does_not_fail(tmp_path: Path) -> None:
    with server(tmp_path) as client, socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
        raw.sendall(b"GET /v1/models?limit=%ff&\xff HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert raw.recv(1000).split(b" ")[1] == b"400"


def test_an_invented_key_gets_no_further_than_the_rate_limit_of_its_address(tmp_path: Path) -> None:
    for flags in ({}, {"api_key": "secret"}):
        bearer = {"authorization": "Bearer secret"}
        with server(tmp_path, rate_limit="2", **flags) as client:
            sent = [
                client.post("/v1/messages", json=ask(), headers={**bearer, "x-api-key": str(number)}).status_code
                for number in range(3)
            ]
        assert sent == [200, 200, 429]
