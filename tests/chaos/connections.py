"""Clients that behave badly, on sockets of their own."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import h2.config
import h2.connection
from h2.settings import SettingCodes

STREAM = {
    "model": "claude-any",
    "max_tokens": 20_000,
    "stream": True,
    "messages": [{"role": "user", "content": "Tell me a long story."}],
}
_READY_CLIENT = """
import socket, sys
print("ready", flush=True)
sys.stdin.readline()
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.sendall(sys.argv[2].encode())
print(connection.recv(1), flush=True)
while connection.recv(2048): pass
"""


def connected(port: int, buffer_bytes: int = 2048) -> socket.socket:
    """A connection that holds little of what its client has not read."""
    connection = socket.socket()
    connection.settimeout(600)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.connect(("127.0.0.1", port))
    return connection


def head(num_bytes: int) -> bytes:
    return b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % num_bytes


def as_bytes(body: Mapping[str, object]) -> bytes:
    data = json.dumps(body).encode()
    return head(len(data)) + data


@contextmanager
def left_early(port: int, body: Mapping[str, object], number: int) -> Iterator[list[socket.socket]]:
    """Clients that send the request and wait, and leave when the block ends."""
    with ExitStack() as stack:
        connections = [stack.enter_context(contextlib.closing(connected(port))) for _ in range(number)]
        for connection in connections:
            connection.sendall(as_bytes(body))
        yield connections


@contextmanager
def ready_clients(port: int, number: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that have started, which takes the cores from everyone, and have not connected yet."""
    command = [sys.executable, "-c", _READY_CLIENT, str(port), as_bytes(STREAM).decode()]
    start = partial(subprocess.Popen, command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with ExitStack() as stack:
        clients = [stack.enter_context(start()) for _ in range(number)]
        for client in clients:
            stack.callback(client.kill)
        for client in clients:
            assert client.stdout is not None
            assert client.stdout.readline().strip() == "ready"
        yield clients


def begin_and_stop(clients: Sequence[subprocess.Popen[str]]) -> None:
    """Let all of them ask for a stream, and stop each with the first byte that it reads."""
    for client in clients:
        assert client.stdin is not None
        client.stdin.write("\n")
        client.stdin.flush()
    for client in clients:
        assert client.stdout is not None
        assert client.stdout.readline().strip() == "b'H'"
        client.send_signal(signal.SIGSTOP)


def http_2(port: int, window_bytes: int) -> tuple[socket.socket, h2.connection.H2Connection]:
    connection = connected(port)
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    http.initiate_connection()
    http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
    connection.sendall(http.data_to_send())
    return connection, http


def open_stream(http: h2.connection.H2Connection, body: Mapping[str, object]) -> int:
    number = http.get_next_available_stream_id()
    names = {":method": "POST", ":path": "/v1/messages", ":scheme": "http", ":authority": "localhost"}
    http.send_headers(number, list(names.items()))
    http.send_data(number, json.dumps(body).encode(), end_stream=True)
    return number


def rest_of(connection: socket.socket) -> bytes:
    """Whatever the server still sends, up to the end of the connection."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(2**18):
            received += part
    return bytes(received)
