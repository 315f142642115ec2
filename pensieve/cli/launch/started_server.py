"""Starts a server that lives as long as this process, even after the process has become Claude Code (C7).

`pensieve serve` runs in its own session, so that Ctrl-C in the terminal does not reach it, and under
`pensieve.cli.process.parent_watch`, so that it stops when its parent process ends for any reason.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from pensieve.cli.launch.running_servers import LaunchError
from pensieve.models.files.home import home

HOST = "127.0.0.1"
_MODULE = "pensieve.cli.process.parent_watch"
_READY = re.compile(r"^pensieve: serving .+ at (http://\S+) \(", re.MULTILINE)
_POLL_SECONDS = 0.1
_STOP_SECONDS = 15.0
_MAX_LOGS = 10


def start_server(
    port: int, flags: Sequence[str], environment: Mapping[str, str], print_line: Callable[[str], None]
) -> str:
    """Start `pensieve serve`, print its output while it loads, and return its URL once it is ready.

    Raises:
        LaunchError: it exited; the message names its log.
        KeyboardInterrupt: the user interrupted the start; the server has been stopped.
    """
    log = _new_log()
    # -P: do not import modules from the current folder, which is the user's project.
    python = [sys.executable, "-P", "-m", _MODULE, str(os.getpid())]
    with log.open("wb") as sink:
        server = subprocess.Popen(  # noqa: S603 - our own command
            [*python, "serve", "--host", HOST, "--port", str(port), "--log-format", "text", *flags],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return _wait_until_ready(server, log, print_line)
    except BaseException:
        _stop(server)
        raise


def _wait_until_ready(server: subprocess.Popen[bytes], log: Path, print_line: Callable[[str], None]) -> str:
    num_printed = 0
    while True:
        ended = server.poll() is not None  # before reading, so that the log has its last lines
        text = log.read_text(encoding="utf-8", errors="replace")
        end = text.rfind("\n") + 1
        for line in text[num_printed:end].splitlines():
            print_line(line)
        num_printed = end
        ready = _READY.search(text)
        if ready is not None:
            return ready[1]
        if ended:
            raise LaunchError(f"the server could not start (exit status {server.returncode}); its log is {log}")
        time.sleep(_POLL_SECONDS)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(_STOP_SECONDS)
        return
    server.kill()
    server.wait()


def _new_log() -> Path:
    """A new log file. Only the most recent logs of earlier servers are kept."""
    folder = home() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("launch-*.log"))[: 1 - _MAX_LOGS]:
        old.unlink(missing_ok=True)
    return folder / f"launch-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
