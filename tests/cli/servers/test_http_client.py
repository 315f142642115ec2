"""What the commands make of a server that breaks off, or is of another program (U9)."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pensieve.cli.servers.http_client import RequestError, ServerClient

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"type": "content_block_delta", "index": 0}\n\n'
STOP = b'data: {"type": "message_stop"}\n\n'


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


@contextmanager
def server_that_sends(answer: bytes) -> Iterator[str]:
    """Its URL. It reads the head of one request, sends the answer, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(STREAM + chunk(EVENT), id="no last chunk"),
        pytest.param(STREAM + chunk(EVENT) + b"fff\r\ndata: {", id="in the middle of a chunk"),
        pytest.param(STREAM + chunk(EVENT + b'data: {"type": "me') + b"0\r\n\r\n", id="in the middle of an event"),
        pytest.param(STREAM + chunk(EVENT) + b"0\r\n\r\n", id="between two events"),
        pytest.param(STREAM + chunk(EVENT + b"data: {}\n\n") + b"0\r\n\r\n", id="an event without a type"),
    ],
)
def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one(answer: bytes) -> None:
    with server_that_sends(answer) as url, pytest.raises(RequestError, match="breaks off"):
        list(ServerClient(url).events("/v1/messages", {}))


def test_an_answer_ends_with_its_last_event() -> None:
    with server_that_sends(STREAM + chunk(EVENT + STOP)) as url:
        events = list(ServerClient(url).events("/v1/messages", {}))
    assert [event["type"] for event in events] == ["content_block_delta", "message_stop"]
