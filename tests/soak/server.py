"""`pensieve serve` in a process that may be killed and started again on the same port, and what it takes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

START_SECONDS: Final = 600
REQUEST_SECONDS: Final = 600


@dataclass(frozen=True, slots=True)
class Level:
    """What the server's process takes at one moment, in bytes and numbers. The ledger counts reserved bytes."""

    resident_bytes: int
    ledger_bytes: int
    open_files: int
    num_threads: int


class Server:
    """`num_kills` grows at each kill, and `is_up` is false until the server answers again."""

    def __init__(self, home: Path, arguments: tuple[str, ...]) -> None:
        self.home, self.num_kills, self.is_up = home, 0, False
        self._arguments = arguments
        self._log = (home / "server.log").open("a")
        self._process, self.url = self._start(port=0)
        self.client = httpx.Client(base_url=self.url, timeout=REQUEST_SECONDS)
        self._lock = threading.Lock()
        self._await_health()

    def _start(self, port: int) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-m", "pensieve", "serve", "--port", str(port), *self._arguments]
        environment = {**os.environ, "PENSIEVE_HOME": str(self.home)}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self._log, text=True, env=environment)
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        process.stdout.close()
        assert found is not None, f"expected a line with the server's URL, actual {line!r}"
        return process, found[0]

    def _await_health(self) -> None:
        ends_at = time.monotonic() + START_SECONDS
        while True:
            try:
                self.health()
            except httpx.HTTPError:
                assert time.monotonic() < ends_at, f"no answer of {self.url} within {START_SECONDS} s"
                time.sleep(0.1)
            else:
                self.is_up = True
                return

    def health(self) -> Mapping[str, Any]:
        response = self.client.get("/health")
        response.raise_for_status()
        health: Mapping[str, Any] = response.json()
        return health

    def serving_process(self) -> psutil.Process:
        """The process that holds the models: the one that was started, or its child where it supervises one."""
        process = psutil.Process(self._process.pid)
        children = [child for child in process.children() if "serve" in child.cmdline()]
        return children[0] if children else process

    def kill(self) -> float:
        """End the serving process as a crash would, and return the seconds until the server answers again."""
        began = time.monotonic()
        self.num_kills += 1
        self.is_up = False
        self.serving_process().send_signal(signal.SIGKILL)
        if self._has_ended():
            self._process, _ = self._start(port=httpx.URL(self.url).port or 0)
        self._await_health()
        return time.monotonic() - began

    def _has_ended(self) -> bool:
        """A supervisor outlives its child: it ends within a moment or not at all."""
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            return False
        return True

    def level(self) -> Level:
        process = self.serving_process()
        reserved = self.health()["reserved"]
        return Level(
            int(process.memory_info().rss), sum(reserved.values()), int(process.num_fds()), int(process.num_threads())
        )

    def close(self) -> int:
        """Stop the server as a signal would, and return its exit status."""
        self.client.close()
        self._process.terminate()
        try:
            return self._process.wait(120)
        finally:
            self._log.close()


@contextmanager
def serving(home: Path, *arguments: str) -> Iterator[Server]:
    home.mkdir(parents=True, exist_ok=True)
    server = Server(home, arguments)
    try:
        yield server
    finally:
        server.close()
