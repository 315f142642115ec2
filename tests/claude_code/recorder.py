"""A reverse proxy on loopback that records requests and responses unchanged, in the order of the requests."""

from __future__ import annotations

import json
import re
import select
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlsplit

from features.harness.wire.sse import EventReader

_MESSAGE_PATHS = ("/v1/messages", "/v1/chat/completions")
_RECEIVE_BYTES = 65536
_SILENCE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its response. `usage` is the final one in the Messages API's terms, empty if there is none.

    `is_complete` is false if the client disconnected before the end of the response.
    """

    method: str
    path: str
    request_json: Mapping[str, Any]
    status: int
    text: str
    usage: Mapping[str, Any]
    is_complete: bool

    @property
    def is_message(self) -> bool:
        """Whether it is a successful request for a message, of either API."""
        return self.method == "POST" and urlsplit(self.path).path in _MESSAGE_PATHS and self.status == 200

    @property
    def prompt_tokens(self) -> int:
        """The length of the whole prompt: computed, written to the cache, and read from it."""
        parts = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        return sum(int(self.usage.get(part) or 0) for part in parts)

    @property
    def cached_share(self) -> float:
        """The share of the prompt that was read from the cache, from 0.0 to 1.0."""
        return int(self.usage.get("cache_read_input_tokens") or 0) / max(1, self.prompt_tokens)


class Recorder:
    """Holds the finished exchanges, in the order in which their requests arrived."""

    def __init__(self, url: str, upstream: str) -> None:
        self.url = url
        self.upstream = upstream
        self._lock = Lock()
        self._slots: list[Exchange | None] = []

    def reserve(self) -> int:
        """Reserve the index of a request that has just arrived."""
        with self._lock:
            self._slots.append(None)
            return len(self._slots) - 1

    def store(self, index: int, exchange: Exchange) -> None:
        with self._lock:
            self._slots[index] = exchange

    @property
    def exchanges(self) -> list[Exchange]:
        with self._lock:
            return [exchange for exchange in self._slots if exchange is not None]

    @property
    def num_open(self) -> int:
        with self._lock:
            return sum(exchange is None for exchange in self._slots)

    @property
    def messages(self) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if exchange.is_message]


@contextmanager
def recording(upstream: str) -> Iterator[Recorder]:
    """Run a recorder in front of the server at `upstream` until the block ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(upstream)) as server:
        server.recorder = Recorder(f"http://127.0.0.1:{server.server_port}", upstream)  # type: ignore[attr-defined]  # for handlers
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="recorder")
        thread.start()
        try:
            yield server.recorder  # type: ignore[attr-defined]  # as above
        finally:
            server.shutdown()
            thread.join()


def _handler(upstream: str) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        """One request per connection, forwarded as HTTP/1.0, so that the end of the connection ends the response."""

        def do_GET(self) -> None:
            recorder: Recorder = self.server.recorder  # type: ignore[attr-defined]  # set by `recording`
            index = recorder.reserve()
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            with socket.create_connection((address.hostname or "", address.port or 80)) as server:
                server.sendall(self._head() + body)
                answer = _relay(server, self.connection)
            self.close_connection = True
            recorder.store(index, _exchange(self.command, self.path, body, answer))

        do_POST = do_HEAD = do_GET  # noqa: N815 - names of the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the base class
            """Print nothing."""

        def _head(self) -> bytes:
            kept = [(name, value) for name, value in self.headers.items() if name.lower() != "connection"]
            lines = [f"{self.command} {self.path} HTTP/1.0", *(f"{name}: {value}" for name, value in kept)]
            return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    return Handler


def _relay(server: socket.socket, client: socket.socket) -> bytes:
    """Forward the response as it arrives until either side disconnects, and return it.

    When the client disconnects, the connection to the server is closed at once, so that the server notices.
    """
    answer = b""
    while True:
        ready, _, _ = select.select([server, client], [], [], _SILENCE_SECONDS)
        if server not in ready:  # only the client is ready: it sends nothing more, so it has disconnected
            return answer
        try:
            received = server.recv(_RECEIVE_BYTES)
            client.sendall(received)
        except OSError:
            return answer
        if not received:
            return answer
        answer += received


def _exchange(method: str, path: str, body: bytes, answer: bytes) -> Exchange:
    head, _, content = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head else 0
    request_json = json.loads(body) if body else {}
    usage = _usage(head, content) if status == 200 else {}
    is_complete = _is_complete(head, content)
    return Exchange(method, path, request_json, status, content.decode("utf-8", "replace"), usage, is_complete)


def _is_complete(head: bytes, content: bytes) -> bool:
    """A stream ends with `message_stop` or `[DONE]`, any other response after its content-length."""
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    if length:
        return len(content) >= int(length[1])
    return b"\nevent: message_stop\n" in content or b"\ndata: [DONE]\n" in content


def _usage(head: bytes, content: bytes) -> dict[str, Any]:
    """The final usage, which in a stream overrides the first one. Without any, the cache header's figures."""
    usage = _usage_in_stream(content) if b"text/event-stream" in head.lower() else _usage_in_body(content)
    if "prompt_tokens" in usage:
        cached = int((usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0)
        return _of_prompt(usage["prompt_tokens"], cached, usage.get("completion_tokens"))
    header = re.search(rb"(?i)\r\npensieve-prompt-cache: *read=(\d+), prompt=(\d+)", head)
    return _of_prompt(int(header[2]), int(header[1]), None) if header and not usage else usage


def _usage_in_body(content: bytes) -> dict[str, Any]:
    body = json.loads(content) if content.startswith(b"{") else {}
    return dict(body.get("usage") or {})


def _usage_in_stream(content: bytes) -> dict[str, Any]:
    usage: dict[str, Any] = {}
    for event in EventReader().feed(content):
        if event.data != "[DONE]":
            body = event.json()
            usage |= body.get("message", body).get("usage") or {}
    return usage


def _of_prompt(prompt_tokens: int, cached_tokens: int, output_tokens: int | None) -> dict[str, Any]:
    """OpenAI's figures in the Messages API's terms."""
    usage = {"input_tokens": prompt_tokens - cached_tokens, "cache_read_input_tokens": cached_tokens}
    return usage if output_tokens is None else {**usage, "output_tokens": output_tokens}
