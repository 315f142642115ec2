"""A reverse proxy on loopback that adds a mutant's fault to a correct server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from threading import Thread

import httpx

from features.harness.target.target import certificates
from features.harness.wire.sse import EventReader
from tests.mutants.mutant import Mutant
from tests.mutants.wire import DONE, Frame, Frames, ProxiedAnswer, ProxiedCall

_ADDRESS = "127.0.0.1"
_BODY_SECONDS = 2.0
"""As the suite's script says."""
_HOP_BY_HOP_HEADERS = {"host", "connection", "content-length", "transfer-encoding", "accept-encoding", "keep-alive"}


@contextlib.contextmanager
def served(mutant: Mutant, upstream: str) -> Iterator[str]:
    """Serve the server at `upstream` with the mutant's fault, and yield the URL."""
    server_type = HTTPServer if mutant.serves_one_at_a_time else ThreadingHTTPServer
    unshared = httpx.Limits(max_keepalive_connections=0)  # a server may close an idle connection at any time
    with (
        httpx.Client(base_url=upstream, trust_env=False, timeout=300, limits=unshared, verify=certificates()) as client,
        server_type((_ADDRESS, 0), _handler(mutant, client)) as server,
    ):
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://{_ADDRESS}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _handler(mutant: Mutant, client: httpx.Client) -> type[BaseHTTPRequestHandler]:
    class ProxyHandler(BaseHTTPRequestHandler):
        """HTTP/1.0: closing the connection ends the answer, so that a changed body needs no new length."""

        timeout = None if mutant.waits_for_bodies else _BODY_SECONDS

        def do_GET(self) -> None:
            call = mutant.calls(self._call())
            with _upstream(client, call, self.client_address[0]) as response:
                headers = _end_to_end(dict(response.headers))
                if headers.get("content-type", "").startswith("text/event-stream"):
                    self._head(response.status_code, headers)
                    with contextlib.suppress(ConnectionError):  # a client may disconnect from a stream
                        for frame in mutant.frames(_frames(response)):
                            self.wfile.write(frame.encoded())
                else:
                    answer = mutant.answers(call, ProxiedAnswer(response.status_code, headers, response.read()))
                    self._head(answer.status, answer.headers)
                    self.wfile.write(answer.body)

        do_POST = do_HEAD = do_DELETE = do_OPTIONS = do_GET  # noqa: N815 - the base class looks for these names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Quiet: the suite's transcript has more detail."""

        def _call(self) -> ProxiedCall:
            body = self.rfile.read(int(self.headers.get("content-length", 0))) if mutant.reads_bodies else b""
            headers = {name.lower(): value for name, value in self.headers.items()}
            return ProxiedCall(self.command, self.path, headers, body)

        def _head(self, status: int, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

    return ProxyHandler


@contextlib.contextmanager
def _upstream(client: httpx.Client, call: ProxiedCall, address: str) -> Iterator[httpx.Response]:
    """The answer of the correct server, to which the call comes from the same address as to the proxy."""
    with contextlib.ExitStack() as stack:
        if address != _ADDRESS:
            transport = httpx.HTTPTransport(local_address=address)
            client = stack.enter_context(httpx.Client(base_url=client.base_url, timeout=300, transport=transport))
        headers = _end_to_end(dict(call.headers))
        if "origin" in headers and "host" in call.headers:  # together they say whether a page is the server's own
            headers["host"] = call.headers["host"]
        stream = client.stream(call.method, call.path, headers=headers, content=call.body)
        yield stack.enter_context(stream)


def _frames(response: httpx.Response) -> Frames:
    reader = EventReader()
    for chunk in response.iter_bytes():
        for event in reader.feed(chunk):
            yield DONE if event.data == "[DONE]" else Frame(event.name, event.json())


def _end_to_end(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in _HOP_BY_HOP_HEADERS}
