"""A client that does not read its answer is disconnected, and one that reads slowly is not."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import h2.config
import h2.connection
import h2.errors
import httpx
import pytest
from h2.settings import SettingCodes

from pensieve.api import server_state
from pensieve.api.http.connections.limits import ConnectionLimits
from tests.support.running_server import ask, scripted_server
from tests.support.waiting import wait_until

SCRIPT = (
    f'[[reply]]\nwhen = "long"\ntext = " {"x" * 2**20}"\nrepeat = 12\n'
    '[[reply]]\nwhen = "slow"\ntext = " word"\nrepeat = 6000\nseconds_per_token = 0.01\n'
    '[[reply]]\nwhen = "many"\ntext = " word"\nrepeat = 20000\n'
)
"""More than the buffers of a connection hold."""
MAX_UNREAD_SECONDS = 0.4
PATIENT_SECONDS = 3.0
"""For answers that are read: this process may have to wait for the processor between two parts."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with server(tmp_path_factory.mktemp("unread"), MAX_UNREAD_SECONDS) as connected:
        yield connected


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with server(tmp_path_factory.mktemp("patient"), PATIENT_SECONDS) as connected:
        yield connected


@contextmanager
def server(folder: Path, max_seconds: float) -> Iterator[httpx.Client]:
    limits = ConnectionLimits(max_unread_seconds=max_seconds, keep_alive_seconds=max_seconds)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(server_state, "ServerState", partial(server_state.ServerState, limits=limits))
        with scripted_server(folder, SCRIPT) as connected:
            yield connected


def connect(client: httpx.Client, buffer_bytes: int = 2048) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(60)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.connect((client.base_url.host, client.base_url.port or 0))
    return connection


def post(
    client: httpx.Client, *, stream: bool, times: int = 1, buffer_bytes: int = 2048, question: str = "long"
) -> socket.socket:
    """Send the same request as often as given, and read nothing."""
    body = json.dumps(ask(question, stream=stream, max_tokens=20_000)).encode()
    head = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
    connection = connect(client, buffer_bytes)
    connection.sendall((head + body) * times)
    return connection


def wait_until_idle(client: httpx.Client) -> None:
    """Each question has a connection of its own: the server may be closing one that was kept."""
    health = f"{client.base_url}/health"
    wait_until(lambda: httpx.get(health, timeout=300).json()["requests"]["active"] == 0)


def rest_of(connection: socket.socket, *, pause_seconds: float = 0.0) -> bytes:
    """Whatever the server still sends, up to the end of the answer or of the connection."""
    received = bytearray()
    try:
        while not received.endswith(b"\r\n0\r\n\r\n") and (part := connection.recv(2**18)):
            received += part
            time.sleep(pause_seconds)
    except ConnectionResetError:
        pass
    return bytes(received)


@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("stream", [True, False])
def test_an_answer_that_is_not_read_is_given_up(client: httpx.Client, *, stream: bool, times: int) -> None:
    with closing(post(client, stream=stream, times=times)) as unread:
        time.sleep(MAX_UNREAD_SECONDS)
        wait_until_idle(client)
        time.sleep(2 * MAX_UNREAD_SECONDS)
        assert len(rest_of(unread)) < 12 * 2**20, "the connection was closed before the end of the answer"


@pytest.mark.parametrize("times", [1, 3])
def test_nothing_is_written_to_a_connection_that_was_given_up(
    client: httpx.Client, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    """The event loop logs a line for each such part, and a traceback for a connection that is cancelled."""
    with closing(post(client, stream=True, times=times, question="many")):
        time.sleep(MAX_UNREAD_SECONDS)
        wait_until_idle(client)
        time.sleep(1.2)  # a connection with further requests is ended after a second
    assert not [record.getMessage() for record in caplog.records if record.name == "asyncio"]


def test_an_answer_that_is_read_slowly_arrives_whole(patient: httpx.Client) -> None:
    with closing(post(patient, stream=True, buffer_bytes=2**18)) as slow:
        began = time.monotonic()
        answer = rest_of(slow, pause_seconds=0.08)
        assert b"message_stop" in answer
        assert time.monotonic() - began > PATIENT_SECONDS, "slow enough to show it"


def http_2(client: httpx.Client, window_bytes: int) -> tuple[socket.socket, h2.connection.H2Connection]:
    connection = connect(client)
    http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    http.initiate_connection()
    http.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window_bytes})
    connection.sendall(http.data_to_send())
    return connection, http


def request_on(http: h2.connection.H2Connection, body: bytes) -> int:
    number = http.get_next_available_stream_id()
    head = {":method": "POST", ":path": "/v1/messages", ":scheme": "http", ":authority": "localhost"}
    http.send_headers(number, list(head.items()))
    http.send_data(number, body, end_stream=True)
    return number


def test_http_2_streams_with_an_empty_window_are_given_up_although_pings_are_answered(client: httpx.Client) -> None:
    connection, http = http_2(client, window_bytes=0)
    with closing(connection):
        for _ in range(3):
            request_on(http, json.dumps(ask("long", stream=True)).encode())
        connection.sendall(http.data_to_send())
        ends_at = time.monotonic() + 2 * MAX_UNREAD_SECONDS
        while time.monotonic() < ends_at:
            http.ping(b"still on")
            connection.sendall(http.data_to_send())
            time.sleep(0.05)
        rest_of(connection)  # up to the end of the connection
        wait_until_idle(client)


def test_http_2_streams_with_an_empty_window_are_given_up_while_their_answers_are_written(client: httpx.Client) -> None:
    connection, http = http_2(client, window_bytes=0)
    with closing(connection):
        request_on(http, json.dumps({**ask("slow", stream=True), "max_tokens": 6000}).encode())
        connection.sendall(http.data_to_send())
        began = time.monotonic()
        wait_until(lambda: httpx.get(f"{client.base_url}/health", timeout=300).json()["requests"]["active"] == 1)
        wait_until_idle(client)
        assert time.monotonic() - began < 30, "the slow answer takes twice as long"


def test_an_http_2_connection_that_is_not_read_is_closed(client: httpx.Client) -> None:
    """Also where one of its streams had an empty window before, and nothing could be written to give that up."""
    connection, http = http_2(client, window_bytes=0)
    began = time.monotonic()
    with closing(connection):
        http.increment_flow_control_window(2**24)
        request_on(http, json.dumps({**ask("slow", stream=True), "max_tokens": 6000}).encode())
        connection.sendall(http.data_to_send())
        time.sleep(MAX_UNREAD_SECONDS / 2)
        long = request_on(http, json.dumps(ask("long", stream=True)).encode())
        http.increment_flow_control_window(2**24, long)
        connection.sendall(http.data_to_send())
        time.sleep(4 * MAX_UNREAD_SECONDS)
        assert len(rest_of(connection)) < 2**20, "the connection was closed before it could be read"
        wait_until_idle(client)
        assert time.monotonic() - began < 30, "the slow answer takes twice as long"


@pytest.mark.parametrize("start", ["", "GET /health HTTP/1.1\r\nhost:", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_a_connection_without_a_request_is_closed(client: httpx.Client, start: str) -> None:
    with closing(connect(client)) as unused:
        unused.sendall(start.encode())
        rest_of(unused)


def test_http_2_answers_are_whole(patient: httpx.Client) -> None:
    httpx2 = pytest.importorskip("httpx2")
    with httpx2.Client(http1=False, http2=True, base_url=str(patient.base_url), timeout=300) as connected:
        text = connected.post("/v1/messages", json=ask("long")).json()["content"][0]["text"]
    assert len(text.strip()) == len(f"{'x' * 2**20} " * 12) - 1


def test_thousands_of_http_2_requests_that_are_reset_leave_nothing(patient: httpx.Client) -> None:
    connection, http = http_2(patient, window_bytes=65_535)
    with closing(connection):
        for _ in range(1000):
            http.reset_stream(request_on(http, b"{"), h2.errors.ErrorCodes.CANCEL)
        connection.sendall(http.data_to_send())
        assert patient.post("/v1/messages", json=ask()).status_code == 200
        wait_until_idle(patient)
