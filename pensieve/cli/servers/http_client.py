"""JSON requests to a server, without a proxy: they go to this machine, or to one that the user named."""

from __future__ import annotations

import http.client
import json
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

ANSWER_SECONDS: Final = 10.0
LAST_EVENT: Final = "message_stop"
_MAX_ANSWER_BYTES: Final = 1_000_000


class RequestError(Exception):
    """The server refused a request, or does not answer. The message is the server's own sentence where it has one."""


@dataclass(frozen=True, slots=True)
class ServerClient:
    url: str
    api_key: str | None = None

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """The status, and the JSON object of the body, empty if the body is something else.

        Raises:
            OSError, http.client.HTTPException: it does not answer.
        """
        with closing(self._connection(ANSWER_SECONDS)) as connection:
            return _read(self._sent(connection, "GET", path, None))

    def post(self, path: str, body: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any]:
        """The JSON object of the answer. `timeout` is in seconds.

        Raises:
            RequestError: there is no answer with status 200.
        """
        try:
            with closing(self._connection(timeout)) as connection:
                status, answer = _read(self._sent(connection, "POST", path, body))
        except (OSError, http.client.HTTPException) as error:
            raise RequestError(self._silence(error)) from error
        if status != http.client.OK:
            raise RequestError(refusal(status, answer))
        return answer

    def events(self, path: str, body: Mapping[str, Any]) -> Generator[dict[str, Any], None, None]:
        """The server-sent events of the answer. Closing the generator closes the connection, which ends the answer.

        Raises:
            RequestError: it is refused, ends with an error, or breaks off.
        """
        try:
            with closing(self._connection(None)) as connection:
                answer = self._sent(connection, "POST", path, body)
                if answer.status != http.client.OK:
                    raise RequestError(refusal(*_read(answer)))
                for event in _events(answer):
                    yield event
                    if event["type"] == LAST_EVENT:
                        return
        except http.client.IncompleteRead:
            pass
        except (OSError, http.client.HTTPException) as error:
            raise RequestError(self._silence(error)) from error
        # http.client takes a stream that ends early for a whole one
        raise RequestError(f"the answer of the server at {self.url} breaks off; ask again")

    def _connection(self, timeout: float | None) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        return kind(parts.hostname or "", parts.port, timeout=timeout)

    def _sent(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: Mapping[str, Any] | None
    ) -> http.client.HTTPResponse:
        headers = {"accept": "application/json", **({"x-api-key": self.api_key} if self.api_key else {})}
        if body is not None:
            headers |= {"content-type": "application/json", "anthropic-version": "2023-06-01"}
        content = None if body is None else json.dumps(body).encode()
        try:
            connection.request(method, urlsplit(self.url).path + path, content, headers)
        except ValueError as error:
            raise http.client.HTTPException("the key has characters that a header cannot have") from error
        return connection.getresponse()

    def _silence(self, error: Exception) -> str:
        if isinstance(error, ConnectionRefusedError):
            return f"no server answers at {self.url}; start one with `pensieve serve`"
        return f"the server at {self.url} does not answer: {reason(error)}"


def reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _read(answer: http.client.HTTPResponse) -> tuple[int, dict[str, Any]]:
    try:
        content = json.loads(answer.read(_MAX_ANSWER_BYTES))
    except ValueError:
        content = None
    return answer.status, content if isinstance(content, dict) else {}


def _events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Up to one that is not whole."""
    for line in lines:
        if not line.startswith(b"data: {"):
            continue
        try:
            event: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
        except ValueError:
            return
        if "type" not in event:
            return
        if event["type"] == "error":
            raise RequestError(refusal(0, event))
        yield event


def refusal(status: int, answer: Mapping[str, Any]) -> str:
    """The server's own sentence, if there is one."""
    error = answer.get("error")
    sentence = str(error.get("message", "")) if isinstance(error, dict) else ""
    if status == http.client.UNAUTHORIZED:
        return f"{sentence or 'the server requires a key'}; set PENSIEVE_API_KEY or --api-key"
    return sentence or f"the server refused the request with status {status}"
