"""A process with few file descriptors refuses connections in time, and says so once."""

from __future__ import annotations

import errno
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from pensieve.api.http.connections.open_connections import OpenConnections
from tests.support.waiting import wait_until

NUM_FILES = 300


@contextmanager
def limited_server(folder: Path, soft: int, hard: int) -> Iterator[tuple[psutil.Process, int]]:
    """A server of a process with these limits of open files. What it logs is written to log.txt."""
    script = folder / "script.toml"
    script.write_text("[[reply]]")
    serve = f"exec {sys.executable} -m pensieve serve --no-supervise --port 0 --script {script}"
    command = ["sh", "-c", f"ulimit -Sn {soft} && ulimit -Hn {hard} && {serve}"]
    with (
        (folder / "log.txt").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        found = re.search(r"http://127.0.0.1:(\d+)", process.stdout.readline())
        assert found is not None
        try:
            yield psutil.Process(process.pid), int(found[1])
        finally:
            process.terminate()
            process.wait(60)


def reply(connection: HTTPConnection, path: str = "/health") -> tuple[int, dict[str, object], str | None]:
    connection.request("GET", path)
    response = connection.getresponse()
    body: dict[str, object] = json.loads(response.read())
    return response.status, body, response.getheader("retry-after")


@pytest.mark.skipif(sys.platform != "linux", reason="psutil reads the limits of processes on Linux only")
def test_the_soft_limit_is_raised(tmp_path: Path) -> None:
    with limited_server(tmp_path, 200, 1000) as (process, port):
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        assert reply(connection)[0] == 200
        connection.close()
        assert process.rlimit(psutil.RLIMIT_NOFILE) == (1000, 1000)


def test_connections_beyond_the_limit_are_refused_and_logged_once(tmp_path: Path) -> None:
    with limited_server(tmp_path, NUM_FILES, NUM_FILES) as (process, port), ExitStack() as stack:
        kept = HTTPConnection("127.0.0.1", port, timeout=60)
        stack.callback(kept.close)
        assert reply(kept)[0] == 200
        for _ in range(OpenConnections(NUM_FILES).max_open - 1):
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            stack.callback(connection.close)
            connection.connect()
        for _ in range(3):
            refused = HTTPConnection("127.0.0.1", port, timeout=60)
            stack.callback(refused.close)
            status, body, retry_after = reply(refused)
            assert (status, body["type"], retry_after) == (529, "error", "5")
        more = [HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(NUM_FILES)]
        for connection in more:
            stack.callback(connection.close)
            connection.connect()
        assert reply(kept)[0] == 200, "a client with a connection is served"
        stack.pop_all().close()
        wait_until(lambda: process.num_fds() <= NUM_FILES // 4)
        again = HTTPConnection("127.0.0.1", port, timeout=60)
        assert reply(again)[0] == 200
        again.close()
    entries = [json.loads(line) for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert [entry["level"] for entry in entries if entry["level"] != "INFO"] == ["WARNING"]
    assert not [entry for entry in entries if entry["logger"] == "pensieve.requests"], "no line for each refusal"


def test_a_missing_descriptor_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    class Loop:
        def default_exception_handler(self, context: dict[str, object]) -> None:
            logging.getLogger().error("%s", context["message"])

    connections, loop = OpenConnections(NUM_FILES), Loop()
    for _ in range(100):
        connections.on_loop_error(loop, {"message": "accept", "exception": OSError(errno.EMFILE, "no")})  # type: ignore[arg-type]
    connections.on_loop_error(loop, {"message": "another", "exception": OSError(errno.EIO, "no")})  # type: ignore[arg-type]
    assert [record.levelname for record in caplog.records] == ["WARNING", "ERROR"]
