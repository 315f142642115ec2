"""Refuses connections before the process runs out of file descriptors, with one line in the log."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import resource
import secrets
import time
from collections.abc import Iterator
from typing import Any, Final

from pensieve.api.http.connections.fair_reader import FairReader
from pensieve.api.http.error_reply import reply_to_error
from pensieve.core.errors import OverloadedError

log = logging.getLogger(__name__)

MAX_FILES: Final = 10_240
"""The most that macOS lets a process open, whatever its hard limit says."""
RESERVED_FILES: Final = 256
"""For models and stored prompts, for connections that are just being accepted, and for those that are being refused."""
MAX_REFUSALS: Final = 64
"""More than that at the same time are closed without a word."""
REFUSAL_SECONDS: Final = 1.0
LOG_INTERVAL_SECONDS: Final = 60.0
_NO_FILES: Final = (errno.EMFILE, errno.ENFILE)


def raise_file_limit() -> int:
    """Raise the soft limit of open files as far as the hard one allows, and return it. Often it is 256 or 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    wanted = MAX_FILES if hard == unlimited else min(hard, MAX_FILES)
    if soft != unlimited and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # a container may forbid it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MAX_FILES if soft == unlimited else soft


class OpenConnections:
    """Counts connections, and refuses those for which `num_files` descriptors leave no room."""

    def __init__(self, num_files: int) -> None:
        self.max_open = max(num_files - RESERVED_FILES, num_files // 4)
        self._num_open = 0
        self._num_refusals = 0
        self._log_at = 0.0

    @contextlib.contextmanager
    def one(self) -> Iterator[bool]:
        """Another connection, until the block ends. Yields whether there is room for it."""
        has_room = self._num_open < self.max_open
        self._num_open += has_room
        try:
            yield has_room
        finally:
            self._num_open -= has_room

    async def refuse(self, reader: FairReader | asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send a refusal that SDKs try again after, and close the connection once the client has read it."""
        self._warn(f"{self._num_open} are open")
        self._num_refusals += 1
        try:
            if self._num_refusals <= MAX_REFUSALS:
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(REFUSAL_SECONDS):
                        writer.write(_refusal())
                        writer.write_eof()
                        while await reader.read(2**16):  # closing before it has sent everything would reset it
                            pass
        finally:
            self._num_refusals -= 1
            writer.transport.abort()

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception handler for an event loop: asyncio reports a missing descriptor a hundred times a second."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _NO_FILES:
            self._warn("no file descriptor is left")
        else:
            loop.default_exception_handler(context)

    def _warn(self, reason: str) -> None:
        if time.monotonic() >= self._log_at:
            self._log_at = time.monotonic() + LOG_INTERVAL_SECONDS
            log.warning("connections are refused: %s; `ulimit -n` raises the limit of open files", reason)


def _refusal() -> bytes:
    reply = reply_to_error(OverloadedError("the server holds as many connections as it can"))
    body = json.dumps(reply.body(f"req_{secrets.token_hex(12)}")).encode()
    headers = {
        **reply.headers,
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
    }
    lines = [f"HTTP/1.1 {reply.status} Overloaded", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body
