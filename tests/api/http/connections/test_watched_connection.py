"""A connection is closed as soon as its client disconnects in any way."""

from __future__ import annotations

import json
import socket
import time
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest

from perf_gates.loads.servers import ServerProcess, serving

REQUEST_BODY = b'{"model": "claude-any", "max_tokens": 400, "stream": true, '
REQUEST_BODY += b'"messages": [{"role": "user", "content": "Hello"}]}'


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "slow.toml"
    path.write_text('[[reply]]\ntext = "tick "\nrepeat = 40\nseconds_per_token = 0.02\n')
    return path


def disconnect_after(served: ServerProcess, request: bytes, min_bytes: int) -> None:
    """Send a request, read at least `min_bytes` of the answer, and disconnect."""
    url = httpx.URL(served.url)
    with socket.create_connection((url.host, url.port or 0)) as client:
        client.sendall(request)
        read = 0
        while read < min_bytes:
            read += len(client.recv(4096))


def open_files_below(served: ServerProcess, max_files: int) -> int:
    """The number of open files, once it is at most `max_files` or ten seconds have passed."""
    ends_at = time.monotonic() + 300
    while served.open_files() > max_files and time.monotonic() < ends_at:
        time.sleep(0.05)
    return served.open_files()


def test_clients_that_disconnect_leave_no_open_connection(script: Path) -> None:
    post = b"POST /v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    post += b"Content-Length: %d\r\n\r\n%s" % (len(REQUEST_BODY), REQUEST_BODY)
    with serving("--script", str(script)) as served:
        httpx.get(f"{served.url}/health").raise_for_status()
        time.sleep(0.5)
        before = served.open_files()
        for _ in range(5):
            httpx.get(f"{served.url}/health").raise_for_status()
            for min_bytes in (0, 10):
                disconnect_after(served, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", min_bytes)
            disconnect_after(served, post, 300)
        assert open_files_below(served, before) <= before


def test_a_client_that_has_closed_its_side_gets_the_end_with_its_answer(script: Path) -> None:
    """Not when the time for another request is over, as an older connection shows."""
    with serving("--script", str(script)) as served:
        url = httpx.URL(served.url)
        older = HTTPConnection(url.host, url.port, timeout=300)
        older.request("GET", "/health")
        older.getresponse().read()
        connection = older.sock
        with socket.create_connection((url.host, url.port or 0)) as closing:
            closing.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            closing.shutdown(socket.SHUT_WR)
            while closing.recv(4096):
                pass
        older.request("GET", "/health")
        older.getresponse().read()
        assert older.sock is connection
        older.close()


def test_a_kept_connection_is_reused(script: Path) -> None:
    with serving("--script", str(script)) as served:
        url = httpx.URL(served.url)
        client = HTTPConnection(url.host, url.port, timeout=300)
        client.connect()
        connection = client.sock
        for _ in range(3):
            client.request("GET", "/health")
            assert json.loads(client.getresponse().read())["status"] == "healthy"
            client.request("POST", "/v1/messages", REQUEST_BODY, {"content-type": "application/json"})
            assert client.getresponse().read().endswith(b'data: {"type":"message_stop"}\n\n')
            time.sleep(0.1)
            assert client.sock is connection, "all requests use one connection"
        client.close()
