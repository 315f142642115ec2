"""Faults that come from outside: a server that is killed, clients that are stopped, a disk that is full."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.soak.record import Record
from tests.soak.server import Server

DISK_BYTES: Final = 128 * 2**20
"""The size of the small disk. The prompt cache may take half of it."""
_REFILL_SECONDS: Final = 5.0
_STOPPED_CLIENT: Final = """
import socket, sys
connection = socket.socket()
connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
connection.connect(("127.0.0.1", int(sys.argv[1])))
body = sys.argv[2].encode()
head = b"POST /v1/messages HTTP/1.1\\r\\nhost: localhost\\r\\ncontent-length: %d\\r\\n\\r\\n" % len(body)
connection.sendall(head + body)
print(connection.recv(1), flush=True)
while connection.recv(2048): pass
"""


class NoDiskError(Exception):
    """A small disk needs Linux and the right to mount."""


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A tmpfs at `folder`, until the block ends.

    Raises:
        NoDiskError: it cannot be mounted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoDiskError(f"no small disk: {getattr(error, 'stderr', '') or error}".strip()) from None
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)  # noqa: S607


def keep_full(folder: Path, begin: float, seconds: float, record: Record, over: threading.Event) -> None:
    """Wait for `begin` seconds, then fill the disk of `folder` to its last byte, again and again for `seconds`."""
    if over.wait(begin):
        return
    filler, answered = folder / "filler", record.total("right")
    try:
        with filler.open("ab", buffering=0) as file:
            for _ in range(max(1, round(seconds / _REFILL_SECONDS))):
                _fill(file.fileno())
                if over.wait(min(_REFILL_SECONDS, seconds)):
                    break
    finally:
        filler.unlink(missing_ok=True)
        record.note("answered while the disk was full", record.total("right") - answered)


def _fill(descriptor: int) -> None:
    for size in (2**20, 2**12, 1):
        try:
            while os.write(descriptor, b"\0" * size):
                pass
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def kill_every(server: Server, record: Record, seconds: float, over: threading.Event) -> None:
    while not over.wait(seconds):
        took = server.kill()
        record.note("killed", round(took, 1))


def stop_clients(server: Server, model: str, hold_seconds: float, over: threading.Event, record: Record) -> None:
    """Clients that start a stream, are stopped with SIGSTOP, and end while they are stopped."""
    body = {"model": model, "max_tokens": 2000, "stream": True, "messages": [{"role": "user", "content": "Go."}]}
    port = server.url.rpartition(":")[2]
    while not over.wait(1):
        command = [sys.executable, "-c", _STOPPED_CLIENT, port, json.dumps(body)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
            assert client.stdout is not None
            has_started = client.stdout.readline()
            client.send_signal(signal.SIGSTOP)
            record.note("stopped clients", bool(has_started))
            over.wait(hold_seconds)
            client.kill()
