"""The HTTP exchanges of one scenario, for the report of a failure. Keys are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

_MAX_BODY_LENGTH = 1500
_SECRET_HEADERS = frozenset({"x-api-key", "authorization"})


@dataclass(slots=True)
class HttpExchange:
    """One request and its response; `answer` grows while a stream is read."""

    request_line: str
    request_headers: Mapping[str, str]
    request_body: str
    status: int | None = None
    response_headers: Mapping[str, str] = field(default_factory=dict)
    answer: list[str] = field(default_factory=list)

    def render(self) -> str:
        return "\n".join(
            [
                f"> {self.request_line}",
                *_header_lines(">", self.request_headers),
                *_body_lines(">", self.request_body),
                f"< {self.status if self.status is not None else 'no answer'}",
                *_header_lines("<", self.response_headers),
                *_body_lines("<", "".join(self.answer)),
            ]
        )


class Transcript:
    """The exchanges of a scenario, in the order in which they began. Threads may add to it concurrently."""

    def __init__(self) -> None:
        self._exchanges: list[HttpExchange] = []

    def begin(self, request_line: str, headers: Mapping[str, str], body: bytes) -> HttpExchange:
        exchange = HttpExchange(request_line, headers, body[:_MAX_BODY_LENGTH].decode("utf-8", "replace"))
        self._exchanges.append(exchange)
        return exchange

    def render(self) -> str:
        return "\n\n".join(exchange.render() for exchange in self._exchanges)


TRANSCRIPT = pytest.StashKey[Transcript]()
"""A scenario's transcript, for the report."""


def _header_lines(arrow: str, headers: Mapping[str, str]) -> list[str]:
    return [
        f"{arrow} {name}: {'…' if name.lower() in _SECRET_HEADERS else value}"
        for name, value in sorted(headers.items())
    ]


def _body_lines(arrow: str, body: str) -> list[str]:
    cut = body if len(body) <= _MAX_BODY_LENGTH else f"{body[:_MAX_BODY_LENGTH]}… ({len(body)} characters)"
    return [f"{arrow}", *(f"{arrow} {line}" for line in cut.splitlines())] if cut else []
