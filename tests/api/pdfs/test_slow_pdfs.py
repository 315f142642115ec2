"""PDFs that take long delay no request without PDFs, and their work ends when their clients leave."""

from __future__ import annotations

import base64
import socket
from pathlib import Path

import httpx

from features.harness.scene.media import document_block
from tests.api.pdfs.examples import LONG_TEXT, pdf, running_readers, shown
from tests.support.running_server import ask, scripted_server
from tests.support.waiting import wait_until


def body_with(data: str) -> dict[str, object]:
    return dict(ask(messages=[{"role": "user", "content": [document_block(base64.b64decode(data))]}]))


def sent(client: httpx.Client, body: dict[str, object]) -> socket.socket:
    """A connection on which the request was sent, whose answer is not awaited."""
    request = client.build_request("POST", "/v1/messages", json=body)
    connection = socket.create_connection((client.base_url.host, client.base_url.port))
    head = f"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(request.content)}\r\n\r\n"
    connection.sendall(head.encode() + request.content)
    return connection


def test_six_slow_pdfs_do_not_delay_a_request_without_pdfs(tmp_path: Path) -> None:
    with scripted_server(tmp_path, '[[reply]]\ntext = "x"\n') as client:
        connections = [sent(client, body_with(pdf(LONG_TEXT))) for _ in range(6)]
        wait_until(lambda: len(running_readers()) > 1)
        assert client.post("/v1/messages", json=ask("Hello " * 5000)).status_code == 200  # decoded on a thread
        assert client.get("/health").status_code == 200
        assert len(running_readers()) > 1, "the replies came before the first two PDFs were read"
        for connection in connections:
            connection.close()
        wait_until(lambda: not running_readers())
        assert client.post("/v1/messages", json=body_with(pdf(shown("Blue")))).status_code == 200


def test_the_refusal_of_a_pdf_names_the_field_and_the_limit(tmp_path: Path) -> None:
    with scripted_server(tmp_path) as client:
        reply = client.post("/v1/messages", json=body_with(pdf(shown("Blue"), num_pages=1001)))
    assert reply.status_code == 400
    message = (
        "Could not process PDF: messages.0.content.0.source.data: has 1001 pages, more than 1000: send fewer pages"
    )
    assert reply.json()["error"]["message"] == message
