"""Lets every request reach the routes as plain HTTP: WebSocket handshakes, and paths with doubled slashes."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, cast

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGIReceiveEvent,
    ASGISendCallable,
    ASGISendEvent,
    HTTPScope,
    Scope,
    WebsocketScope,
)

_SLASHES = re.compile("/{2,}")


@dataclass(frozen=True, slots=True)
class HttpOnly:
    """ASGI middleware. A WebSocket handshake is a GET request whose upgrade is ignored (RFC 9110, section 7.8), so that
    all access rules hold for it. Doubled slashes come from base URLs that end with one.
    """

    app: ASGIFramework

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "websocket":
            handshake = _Handshake(receive, send, closes=scope["http_version"] < "2")
            await self.app(_with_single_slashes(_as_http(scope)), handshake.receive, handshake.send)
        else:
            await self.app(_with_single_slashes(scope) if scope["type"] == "http" else scope, receive, send)


def _with_single_slashes(scope: HTTPScope) -> HTTPScope:
    return {**scope, "path": _SLASHES.sub("/", scope["path"])}


def _as_http(scope: WebsocketScope) -> HTTPScope:
    scheme = "https" if scope["scheme"] == "wss" else "http"
    return cast(HTTPScope, {**scope, "type": "http", "method": "GET", "scheme": scheme, "extensions": {}})


@dataclass(slots=True)
class _Handshake:
    """The messages of a handshake as those of a request without a body, and of its answer.

    With `closes`, the answer ends the connection, which hypercorn cannot use for further requests.
    """

    receive_next: ASGIReceiveCallable
    send_next: ASGISendCallable
    closes: bool

    async def receive(self) -> ASGIReceiveEvent:
        message = await self.receive_next()
        while message["type"] not in ("websocket.connect", "websocket.disconnect"):
            message = await self.receive_next()
        if message["type"] == "websocket.connect":
            return {"type": "http.request", "body": b"", "more_body": False}
        return {"type": "http.disconnect"}

    async def send(self, message: ASGISendEvent) -> None:
        answer = {**cast(MutableMapping[str, Any], message), "type": f"websocket.{message['type']}"}
        if self.closes and message["type"] == "http.response.start":
            answer["headers"] = [*answer["headers"], (b"connection", b"close")]
        await self.send_next(cast(ASGISendEvent, answer))
