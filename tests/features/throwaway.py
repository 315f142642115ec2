"""Throwaway servers on loopback: each one gives only the answers that a test specifies."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

ONE_MODEL: Mapping[str, object] = {"/v1/models": {"data": [{"id": "nothing"}]}}
"""The minimum that can be judged: a list with one model, not in Anthropic's format."""


@contextlib.contextmanager
def answering(answers: Mapping[str, object]) -> Iterator[str]:
    """Run a server that answers each path with its JSON and drops the connection for any other path. KEY in an answer
    becomes the client's key.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(answers)) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def handler(answers: Mapping[str, object]) -> type[BaseHTTPRequestHandler]:
    class ThrowawayHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = answers.get(self.path.partition("?")[0])
            if answer is None:
                return
            body = json.dumps(answer).replace("KEY", self.headers.get("x-api-key", "")).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_HEAD = do_GET  # noqa: N815 - the base class looks for these names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Quiet."""

    return ThrowawayHandler
