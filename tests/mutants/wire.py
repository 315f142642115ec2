"""The HTTP calls that pass through a mutant's proxy, and the correct server's answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProxiedCall:
    """A client's request. Header names are lower case. The correct server gets no header of the connection itself."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def with_json(self, change: Callable[[Json], Json]) -> ProxiedCall:
        """The same call with a changed body; unchanged unless the body is a JSON object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return self
        return dataclasses.replace(self, body=json.dumps(change(value)).encode()) if isinstance(value, dict) else self


@dataclass(frozen=True, slots=True)
class ProxiedAnswer:
    """A whole answer. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_json(self) -> bool:
        return bool(self.body) and self.headers.get("content-type", "").startswith("application/json")

    def with_json(self, change: Callable[[Json], Json]) -> ProxiedAnswer:
        """The same answer with a changed body; unchanged unless the body is JSON."""
        if not self.is_json:
            return self
        return dataclasses.replace(self, body=json.dumps(change(json.loads(self.body))).encode())

    def without_header(self, name: str) -> ProxiedAnswer:
        return dataclasses.replace(self, headers={key: value for key, value in self.headers.items() if key != name})

    def with_header(self, name: str, value: str) -> ProxiedAnswer:
        return dataclasses.replace(self, headers={**self.headers, name: value})


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a stream: its `event:` line and the object in its `data:` line.

    OpenAI's events have no `event:` line and therefore the standard's default name, "message".
    """

    name: str
    data: Json

    @property
    def kind(self) -> object:
        return self.data.get("type")

    def encoded(self) -> bytes:
        if self is DONE:
            return b"data: [DONE]\n\n"
        return f"event: {self.name}\ndata: {json.dumps(self.data)}\n\n".encode()


DONE = Frame("message", {})
"""The end of one of OpenAI's streams; its data is not an object."""

Frames = Iterator[Frame]
