"""Sends a request as bytes, and reads the reply."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from dataclasses import dataclass
from typing import Final

from tests.fuzz.requests import Request

HUNG_SECONDS: Final = 900.0
"""On a busy machine, two tokens of a tiny model were seen to take two minutes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`status` is 0 where the server closed the connection without a reply."""

    status: int
    content_type: str
    body: bytes


def sent(port: int, request: Request) -> Reply:
    """
    Raises:
        TimeoutError: the server hangs.
    """
    with contextlib.closing(socket.create_connection(("127.0.0.1", port), HUNG_SECONDS)) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(request.as_bytes())
            if request.headers:  # one of them may promise more than there is
                connection.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(connection, method=request.method)
        try:
            response.begin()
            return Reply(response.status, response.getheader("content-type") or "", response.read())
        except (ConnectionError, http.client.HTTPException):
            return Reply(0, "", b"")


def problem(request: Request, reply: Reply) -> str | None:
    """What is wrong with the reply: an error of the server's own, or one that clients cannot read."""
    if reply.status >= 500 and not (reply.status == 501 and request.headers):
        return f"status {reply.status}: {reply.body[:300]!r}"
    if reply.status == 0:
        return None if request.headers else "no reply"
    if reply.status >= 400 and request.method == "POST" and not request.headers:
        return _unreadable(reply)
    if b'"type":"error"' in reply.body or b'"type": "error"' in reply.body:
        return _failed_stream(reply)
    return None


def _unreadable(reply: Reply) -> str | None:
    try:
        error = json.loads(reply.body)["error"]
        return None if error["type"] and error["message"] else f"an empty error: {reply.body!r}"
    except (ValueError, KeyError, TypeError):
        return f"status {reply.status} with a body that is not an error: {reply.body[:300]!r}"


def _failed_stream(reply: Reply) -> str | None:
    is_own = b'"api_error"' in reply.body
    return f"a stream with an error of the server's own: {reply.body[-300:]!r}" if is_own else None
