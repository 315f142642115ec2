"""Starts our server, and mlx-lm's with the same BLAS, each in a process of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import psutil

START_SECONDS = 180


class ServerProcess:
    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = psutil.Process(process.pid)
        self.pid, self.url = process.pid, url

    def resident_bytes(self) -> int:
        return int(self._process.memory_info().rss)

    def open_files(self) -> int:
        """File descriptors: sockets, files and pipes."""
        return int(self._process.num_fds())

    def num_threads(self) -> int:
        return int(self._process.num_threads())

    def is_running(self) -> bool:
        return self._process.is_running() and self._process.status() != psutil.STATUS_ZOMBIE

    def peak_resident_bytes(self) -> int:
        """The kernel's high-water mark on Linux, and the current resident size elsewhere."""
        status = f"/proc/{self._process.pid}/status"
        try:
            with open(status, encoding="utf-8") as file:
                found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
        except FileNotFoundError:
            found = None
        return int(found[1]) * 1024 if found else self.resident_bytes()


@contextmanager
def serving(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    python_options: Sequence[str] = (),
    stderr: IO[str] | None = None,
) -> Iterator[ServerProcess]:
    """Run `pensieve serve` with these arguments until the block ends.

    `python_options` come before `-m pensieve`: an option of the interpreter, or a tool that runs the server.
    """
    command = [sys.executable, *python_options, "-m", "pensieve", "serve", "--port", "0", *arguments]
    command.append("--no-supervise")  # or the process that is measured would be the supervisor
    variables = {**os.environ, **(environment or {})}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=variables) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found is not None, f"expected a line with the server's URL, actual {line!r}"
        try:
            yield ServerProcess(process, found[0])
        finally:
            process.terminate()
            process.wait(300)


_MLX_LM_SERVER = """
import sys
from pensieve.device import blas
blas.preload()
from mlx_lm.server import main
sys.argv[0] = "mlx_lm.server"
main()
"""


@contextmanager
def serving_mlx_lm(
    model: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[ServerProcess]:
    """Run `mlx_lm.server` on a model folder with the BLAS that our server loads, until the block ends."""
    port = _free_port()
    command = [sys.executable, "-c", _MLX_LM_SERVER, "--model", str(model), "--port", str(port), *arguments]
    command += ["--log-level", "ERROR"]
    variables = {**os.environ, **(environment or {})}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, text=True, env=variables) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _await_health(process, url)
            yield ServerProcess(process, url)
        finally:
            process.terminate()
            process.wait(300)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await_health(process: subprocess.Popen[str], url: str) -> None:
    ends_at = time.monotonic() + START_SECONDS
    while time.monotonic() < ends_at:
        assert process.poll() is None, f"mlx_lm.server exited with status {process.returncode}"
        try:
            if httpx.get(f"{url}/health", timeout=300).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise AssertionError(f"mlx_lm.server did not answer within {START_SECONDS} seconds")
