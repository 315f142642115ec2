"""Logs that clients fill or forge, that have no reader, and that no disk takes: the server goes on without them.

All at once: standard error is a pipe without a reader, and the disk takes no file of more than `MAX_FILE_BYTES`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import pytest

from tests.chaos.arena import IS_WHOLE, SLOW_MODEL, Arena, arena, ask, limited
from tests.chaos.connections import connected, rest_of
from tests.support.tiny_model import write_tiny_model
from tests.support.waiting import wait_until

MAX_FILE_BYTES: Final = 100_000
MAX_LINE_BYTES: Final = 2000
RECORD: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ [\w.]+: \S.*|    .*")
FORGED: Final = "2026-01-01 00:00:00,000 INFO pensieve.requests: POST /v1/messages 200"
ENDS: Final = ("\n", "\r\n", "\r", "\x0b", "\x85", "\u2028", "\x1b[2J\x1b[H", "\x00", "\u202e")


@dataclass(frozen=True, slots=True)
class Logs:
    arena: Arena
    file: Path
    prompts: Path
    unread: int
    """The end of the pipe that the server writes to."""

    def lines(self) -> list[str]:
        return self.file.read_text(encoding="utf-8").split("\n")


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logs]:
    folder = tmp_path_factory.mktemp("logs")
    model = write_tiny_model(folder / "model", max_position_embeddings=8192, **(SLOW_MODEL if IS_WHOLE else {}))
    file, prompts = folder / "pensieve.log", folder / "prompts"
    reader, writer = os.pipe()
    arguments = ("--log-format", "text", "--log-file", str(file), "--log-prompts", str(prompts))
    with (
        os.fdopen(writer, "w", encoding="utf-8") as stderr,
        arena(folder, model, limited("RLIMIT_FSIZE", MAX_FILE_BYTES), arguments, stderr) as found,
    ):
        yield Logs(found, file, prompts, writer)
    os.close(reader)


def hostile_requests() -> Iterator[bytes]:
    """Heads that carry a forged line wherever a client chooses the text, and heads that are large."""
    for end in ENDS:
        forged = f"x{end}{FORGED}"
        body = json.dumps(ask(messages=[{"role": "user", "content": [{"type": forged}]}], model=forged)).encode()
        yield b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        yield f"GET /{quote(forged)} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
        yield f"GET /v1/models/{quote(forged)}?x={quote(forged)} HTTP/1.1\r\nhost: {quote(forged)}\r\n\r\n".encode()
        yield f"GET / HTTP/1.1\r\nhost: localhost\r\nuser-agent: {forged}\r\nx-api-key: {forged}\r\n\r\n".encode()
    for size in (10_000, 100_000):
        yield b"GET /" + size * b"a" + b" HTTP/1.1\r\nhost: localhost\r\n\r\n"
        yield b"GET / HTTP/1.1\r\nhost: localhost\r\nuser-agent: " + size * b"a" + b"\r\n\r\n"
        yield b"GET / HTTP/1.1\r\nhost: localhost\r\n" + size // 10 * b"a: bcde\r\n" + b"\r\n"
        yield size * b"A" + b" / HTTP/1.1\r\nhost: localhost\r\n\r\n"


def send(port: int, data: bytes) -> None:
    with contextlib.closing(connected(port, 2**16)) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(data)
        connection.shutdown(1)
        rest_of(connection)


def test_no_request_forges_or_fills_the_log(logs: Logs) -> None:
    with logs.arena.attacked("requests that forge lines of the log"):
        for data in hostile_requests():
            send(logs.arena.port, data)
    lines = logs.lines()
    assert [line for line in lines if not RECORD.fullmatch(line)] == [""], "what follows the last line"
    assert any("/v1/messages 404" in line for line in lines)
    assert max(map(len, lines)) < MAX_LINE_BYTES
    assert not [line for line in lines if set(line) & set("\x00\x0b\x1b\x85\u2028\u202e\r")]


def test_a_log_without_a_reader_delays_no_client(logs: Logs) -> None:
    def is_full() -> bool:
        return not select.select([], [logs.unread], [], 0)[1]

    with logs.arena.attacked("a log without a reader"):
        while not is_full():
            assert logs.arena.get(f"/v1/models/{'x' * 100}").status == 404
        for _ in range(20):
            assert logs.arena.get("/v1/models").status == 200


def test_a_disk_that_takes_no_more_of_the_log_delays_no_client(logs: Logs) -> None:
    with logs.arena.attacked("a log file that cannot be written"):
        while logs.file.stat().st_size < MAX_FILE_BYTES:
            assert logs.arena.get(f"/v1/models/{'x' * 100}").status == 404
        assert logs.arena.post(ask()).status == 200


def test_prompts_that_no_disk_takes_are_answered(logs: Logs) -> None:
    with logs.arena.attacked("prompts that cannot be written"):
        reply = logs.arena.post(ask("x" * 2 * MAX_FILE_BYTES))
        assert (reply.status, "prompt is too long" in reply.message) == (400, True)
        assert max(path.stat().st_size for path in logs.prompts.iterdir()) == MAX_FILE_BYTES
        shutil.rmtree(logs.prompts)
        assert logs.arena.post(ask()).status == 200
        logs.prompts.mkdir(mode=0o700)
        assert logs.arena.post(ask()).status == 200
    wait_until(lambda: len(list(logs.prompts.iterdir())) >= 2)
