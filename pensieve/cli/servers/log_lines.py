"""The last lines of a running server's log, which the server keeps in memory."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from typing import Any, Final

from pensieve.cli.servers.http_client import RequestError, ServerClient, reason, refusal

_POLL_SECONDS: Final = 1.0


def log_lines(client: ServerClient, max_lines: int, *, follow: bool) -> Iterator[str]:
    """The last ones, and with `follow` those that come, until the server ends.

    Raises:
        RequestError: the server refuses to show them, or does not answer.
    """
    lines = _lines_after(client, 0)
    shown = lines[-max_lines:]
    while True:
        yield from map(_as_text, shown)
        if not follow:
            return
        time.sleep(_POLL_SECONDS)
        lines = shown or lines
        shown = _lines_after(client, lines[-1]["number"] if lines else 0)


def _lines_after(client: ServerClient, number: int) -> list[dict[str, Any]]:
    try:
        status, answer = client.get(f"/logs?after={number}")
    except (OSError, http.client.HTTPException) as error:
        raise RequestError(f"the server at {client.url} does not answer: {reason(error)}") from error
    if status != http.client.OK:
        raise RequestError(refusal(status, answer))
    return list(answer.get("lines", []))


def _as_text(line: dict[str, Any]) -> str:
    """Without control characters, which could recolour or clear the terminal."""
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(line["time"]))
    text = f"{clock} {line['level']} {line['logger']}: {line['text']}"
    return "".join(char if char.isprintable() else " " for char in text)
