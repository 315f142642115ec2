"""The suite's HTTP client: plain requests, streams read as they arrive, and a raw connection that hangs up early."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from features.harness.target.target import VERSION, TargetServer, certificates
from features.harness.wire.expectations import TargetGoneError
from features.harness.wire.replies import HttpReply, Stream
from features.harness.wire.sse import EventReader, ServerSentEvent
from features.harness.wire.transcript import HttpExchange, Transcript

MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
Content = bytes | Iterator[bytes]
_CHUNK_BYTES = 1 << 18
_ANSWER_SECONDS = 1.0  # in which a server has refused a request without a key, if it does not wait for the body
_RESET_SECONDS = 0.05  # in which a reset comes back after data to a closed connection
_MAX_SILENCE_SECONDS = 600.0  # "Errors", long requests: the official SDKs wait ten minutes


class LiveStream:
    """A stream that is being read. Leaving the context closes the connection, even if the stream has not ended."""

    def __init__(self, response: httpx.Response, exchange: HttpExchange) -> None:
        self.response = response
        self.opened_at = time.monotonic()
        self._exchange = exchange

    def events(self) -> Iterator[ServerSentEvent]:
        reader = EventReader()
        for chunk in self.response.iter_bytes():
            self._exchange.answer.append(chunk.decode("utf-8", "replace"))
            yield from reader.feed(chunk)

    def refusal(self) -> HttpReply:
        """The whole body of an answer that turned out not to be a stream."""
        body = self.response.read()
        self._exchange.answer.append(body.decode("utf-8", "replace"))
        return HttpReply(self.response.status_code, self.response.headers, body)


class Client:
    """Sends requests to one target and records every exchange in the scenario's transcript."""

    def __init__(self, target: TargetServer, transcript: Transcript) -> None:
        self.target = target
        self._transcript = transcript
        self.local_address: str | None = None
        """Where its connections come from; None leaves the choice to the system."""
        self.betas = ""
        """The value of the header anthropic-beta, which Anthropic's API requires for what is new."""

    @property
    def model(self) -> str:
        return self.target.model

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: Content | None = None,
        headers: Mapping[str, str] | None = None,
        with_key: bool = True,
    ) -> HttpReply:
        """One request and its whole answer. `body` is sent as JSON, with NaN allowed; `content` is sent unchanged,
        in chunks if it is an iterator.
        """
        with self._opened(method, path, _encoded(body, content), headers or {}, with_key=with_key) as (
            response,
            exchange,
        ):
            answer = response.read()
            exchange.answer.append(answer.decode("utf-8", "replace"))
            return HttpReply(response.status_code, response.headers, answer)

    def send_in_chunks(self, body: object) -> HttpReply:
        """A request with chunked transfer coding, so without a content length."""
        whole = json.dumps(body).encode()
        pieces = (whole[start : start + _CHUNK_BYTES] for start in range(0, len(whole), _CHUNK_BYTES))
        return self.send("POST", MESSAGES, content=pieces)

    def send_in_parts(self, body: object) -> HttpReply:
        """A request without a key. Its body goes on once the answer has arrived, or would have, and only then is the
        answer read: a server that has closed the connection by then has reset it.
        """
        content = json.dumps(body).encode()
        headers = {**self._own_headers(with_key=False), "content-length": str(len(content))}
        exchange = self._transcript.begin(f"POST {MESSAGES}", headers, content)
        with contextlib.closing(self._connection()) as connection:
            try:
                connection.request("POST", MESSAGES, _in_parts(content, connection), headers)
                response = connection.getresponse()
                answer = response.read()
            except ConnectionRefusedError as error:
                raise TargetGoneError(f"POST {MESSAGES}: {error}") from error
            except (ConnectionError, http.client.HTTPException) as error:
                raise AssertionError(f"expected an answer to POST {MESSAGES}\n  actual {error!r}") from error
        exchange.status, exchange.response_headers = response.status, dict(response.getheaders())
        exchange.answer.append(answer.decode("utf-8", "replace"))
        return HttpReply(response.status, {name.lower(): value for name, value in response.getheaders()}, answer)

    def post(self, body: object, path: str = MESSAGES) -> HttpReply:
        return self.send("POST", path, body)

    @contextlib.contextmanager
    def open_stream(self, body: Mapping[str, Any], path: str = MESSAGES) -> Iterator[LiveStream]:
        content = _encoded({**body, "stream": True}, None)
        with self._opened("POST", path, content, {}, with_key=True) as (response, exchange):
            yield LiveStream(response, exchange)

    def stream(self, body: Mapping[str, Any], path: str = MESSAGES) -> Stream:
        """A stream, read until it ends or breaks."""
        events: list[ServerSentEvent] = []
        sent_at, broken_by = time.monotonic(), None
        with self.open_stream(body, path) as live:
            try:
                if live.response.headers.get("content-type", "").startswith("text/event-stream"):
                    events.extend(live.events())
                    opening = HttpReply(live.response.status_code, live.response.headers, b"")
                else:
                    opening = live.refusal()
            except httpx.TransportError as error:
                broken_by = repr(error)
                opening = HttpReply(live.response.status_code, live.response.headers, b"")
            return Stream(opening, tuple(events), sent_at, live.opened_at, time.monotonic(), broken_by)

    @contextlib.contextmanager
    def unanswered(self, body: Mapping[str, Any]) -> Iterator[None]:
        """A request whose answer is never read; leaving the context closes the connection."""
        headers = {"anthropic-version": VERSION, "content-type": "application/json", **self.target.credentials}
        self._transcript.begin(f"POST {MESSAGES}", headers, json.dumps(body).encode())
        with contextlib.closing(self._connection()) as connection:
            connection.request("POST", MESSAGES, json.dumps(body), headers)
            yield

    def _connection(self) -> http.client.HTTPConnection:
        """A connection that does nothing by itself."""
        url = httpx.URL(self.target.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return kind(url.host, url.port, timeout=_MAX_SILENCE_SECONDS)

    def _own_headers(self, *, with_key: bool) -> dict[str, str]:
        betas = {"anthropic-beta": self.betas} if self.betas else {}
        return {"anthropic-version": VERSION, **betas, **(self.target.credentials if with_key else {})}

    @contextlib.contextmanager
    def _opened(
        self, method: str, path: str, content: Content | None, extra: Mapping[str, str], *, with_key: bool
    ) -> Iterator[tuple[httpx.Response, HttpExchange]]:
        headers = self._own_headers(with_key=with_key)
        if content is not None:
            headers["content-type"] = "application/json"
        headers.update({name.lower(): value for name, value in extra.items()})
        exchange = self._transcript.begin(f"{method} {path}", headers, content if isinstance(content, bytes) else b"")
        with (
            _expecting_an_answer(f"{method} {path}"),
            httpx.Client(
                base_url=self.target.url,
                timeout=_MAX_SILENCE_SECONDS,
                transport=httpx.HTTPTransport(verify=certificates(), local_address=self.local_address),
            ) as connection,
            connection.stream(method, path, content=content, headers=headers) as response,
        ):
            exchange.status, exchange.response_headers = response.status_code, response.headers
            yield response, exchange


@contextlib.contextmanager
def _expecting_an_answer(call: str) -> Iterator[None]:
    """A server that drops the connection or stays silent fails the rule. A server that refuses connections has gone
    away, which says nothing about the rule.
    """
    try:
        yield
    except httpx.ConnectError as error:
        raise TargetGoneError(f"{call}: {error}") from error
    except httpx.TransportError as error:
        raise AssertionError(f"expected an answer to {call}\n  actual {error!r}") from error


class OpenAIClient(Client):
    """Sends the headers of OpenAI's clients: the key as Authorization: Bearer, and no anthropic-version."""

    def _own_headers(self, *, with_key: bool) -> dict[str, str]:
        return {"authorization": f"Bearer {self.target.api_key or 'any'}"} if with_key else {}


def _in_parts(content: bytes, connection: http.client.HTTPConnection) -> Iterator[bytes]:
    yield content[:10]
    select.select([connection.sock], [], [], _ANSWER_SECONDS)
    yield content[10:20]
    time.sleep(_RESET_SECONDS)
    yield content[20:]


def _encoded(body: object, content: Content | None) -> Content | None:
    return content if content is not None or body is None else json.dumps(body).encode()
