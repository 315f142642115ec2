"""The suite's own HTTP client: plain requests, streams read as they come, and a socket where HTTP gets in the way."""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from features.harness.target.target import VERSION, Target
from features.harness.wire.expectations import TargetGoneError
from features.harness.wire.replies import Reply, Stream
from features.harness.wire.sse import EventReader, ServerSentEvent
from features.harness.wire.transcript import Exchange, Transcript

MESSAGES = "/v1/messages"
COUNT_TOKENS = "/v1/messages/count_tokens"
Content = bytes | Iterator[bytes]
_CHUNK_BYTES = 1 << 18
_SILENCE_SECONDS = 60.0  # longer than any server should be silent, in an answer or within a stream


class LiveStream:
    """A stream that is being read. Leaving its context closes the connection, whether it has ended or not."""

    def __init__(self, response: httpx.Response, exchange: Exchange) -> None:
        self.response = response
        self.opened_at = time.monotonic()
        self._exchange = exchange

    def events(self) -> Iterator[ServerSentEvent]:
        reader = EventReader()
        for chunk in self.response.iter_bytes():
            self._exchange.answer.append(chunk.decode("utf-8", "replace"))
            yield from reader.feed(chunk)

    def refusal(self) -> Reply:
        """The whole answer of a request that is not streamed after all."""
        body = self.response.read()
        self._exchange.answer.append(body.decode("utf-8", "replace"))
        return Reply(self.response.status_code, self.response.headers, body)


class Client:
    """Speaks to one target. Every exchange lands in the scenario's transcript."""

    def __init__(self, target: Target, transcript: Transcript) -> None:
        self.target = target
        self._transcript = transcript

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
    ) -> Reply:
        """One request and its whole answer. `body` goes out as JSON, NaN and all; `content` as it is, if an
        iterator in chunks.
        """
        with self._opened(method, path, _encoded(body, content), headers or {}, with_key=with_key) as (
            response,
            exchange,
        ):
            answer = response.read()
            exchange.answer.append(answer.decode("utf-8", "replace"))
            return Reply(response.status_code, response.headers, answer)

    def send_in_chunks(self, body: object) -> Reply:
        """A request whose length is not told beforehand."""
        whole = json.dumps(body).encode()
        pieces = (whole[start : start + _CHUNK_BYTES] for start in range(0, len(whole), _CHUNK_BYTES))
        return self.send("POST", MESSAGES, content=pieces)

    def post(self, body: object, path: str = MESSAGES) -> Reply:
        return self.send("POST", path, body)

    @contextlib.contextmanager
    def open_stream(self, body: Mapping[str, Any], path: str = MESSAGES) -> Iterator[LiveStream]:
        content = _encoded({**body, "stream": True}, None)
        with self._opened("POST", path, content, {}, with_key=True) as (response, exchange):
            yield LiveStream(response, exchange)

    def stream(self, body: Mapping[str, Any], path: str = MESSAGES) -> Stream:
        """A stream read to its end, however it ends."""
        events: list[ServerSentEvent] = []
        asked_at, broken_by = time.monotonic(), None
        with self.open_stream(body, path) as live:
            try:
                if live.response.headers.get("content-type", "").startswith("text/event-stream"):
                    events.extend(live.events())
                    opening = Reply(live.response.status_code, live.response.headers, b"")
                else:
                    opening = live.refusal()
            except httpx.TransportError as error:
                broken_by = repr(error)
                opening = Reply(live.response.status_code, live.response.headers, b"")
            return Stream(opening, tuple(events), asked_at, live.opened_at, time.monotonic(), broken_by)

    @contextlib.contextmanager
    def unanswered(self, body: Mapping[str, Any]) -> Iterator[None]:
        """A request whose answer nobody reads; leaving the context hangs up."""
        url = httpx.URL(self.target.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        headers = {"anthropic-version": VERSION, "content-type": "application/json", **self.target.credentials}
        self._transcript.begin(f"POST {MESSAGES}", headers, json.dumps(body).encode())
        with contextlib.closing(kind(url.host, url.port, timeout=_SILENCE_SECONDS)) as connection:
            connection.request("POST", MESSAGES, json.dumps(body), headers)
            yield

    def _own_headers(self, *, with_key: bool) -> dict[str, str]:
        return {"anthropic-version": VERSION, **(self.target.credentials if with_key else {})}

    @contextlib.contextmanager
    def _opened(
        self, method: str, path: str, content: Content | None, extra: Mapping[str, str], *, with_key: bool
    ) -> Iterator[tuple[httpx.Response, Exchange]]:
        headers = self._own_headers(with_key=with_key)
        if content is not None:
            headers["content-type"] = "application/json"
        headers.update({name.lower(): value for name, value in extra.items()})
        exchange = self._transcript.begin(f"{method} {path}", headers, content if isinstance(content, bytes) else b"")
        with (
            _answered(f"{method} {path}"),
            httpx.Client(
                base_url=self.target.url, timeout=_SILENCE_SECONDS, trust_env=False, verify=_certificates()
            ) as connection,
            connection.stream(method, path, content=content, headers=headers) as response,
        ):
            exchange.status, exchange.response_headers = response.status_code, response.headers
            yield response, exchange


@contextlib.contextmanager
def _answered(call: str) -> Iterator[None]:
    """A server that drops a connection, or is silent, where the rule wants an answer fails the rule. One that cannot
    even be connected to is gone: that is no verdict on the rule.
    """
    try:
        yield
    except httpx.ConnectError as error:
        raise TargetGoneError(f"{call}: {error}") from error
    except httpx.TransportError as error:
        raise AssertionError(f"expected an answer to {call}\n  actual {error!r}") from error


class OpenAIClient(Client):
    """Speaks as OpenAI's clients do: the key as Authorization: Bearer, and no anthropic-version."""

    def _own_headers(self, *, with_key: bool) -> dict[str, str]:
        return {"authorization": f"Bearer {self.target.api_key or 'any'}"} if with_key else {}


@functools.cache
def _certificates() -> ssl.SSLContext:
    """Read once: it takes longer than a request on loopback."""
    return ssl.create_default_context()


def _encoded(body: object, content: Content | None) -> Content | None:
    return content if content is not None or body is None else json.dumps(body).encode()
