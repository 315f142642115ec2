"""A server of our own, for as long as this process lives, whatever it becomes (C7).

`pensieve serve` runs in a session of its own, so that Ctrl-C in the terminal does not reach it, and under
`pensieve.cli.parent_watch`: it stops by itself when the process that started it ends, however that ends.
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
_MODULE = "pensieve.cli.parent_watch"
_READY = re.compile(r"^pensieve: serving .+ at (http://\S+) \(", re.MULTILINE)
_SECONDS_BETWEEN_LOOKS = 0.1
_STOP_SECONDS = 15.0
_LOGS_KEPT = 10


def start_server(port: int, flags: Sequence[str], environment: Mapping[str, str], say: Callable[[str], None]) -> str:
    """Start `pensieve serve`, tell what it says while it loads, and return its URL once it serves.

    Raises:
        LaunchError: it ended instead; the message has its last line and the place of its log.
        KeyboardInterrupt: the user has given up; the server is gone by then.
    """
    log = _new_log()
    # -P: the folder we stand in is the user's project, and modules are not to be imported from there.
    python = [sys.executable, "-P", "-m", _MODULE, str(os.getpid())]
    with log.open("wb") as sink:
        server = subprocess.Popen(  # noqa: S603 - our own command
            [*python, "serve", "--host", HOST, "--port", str(port), *flags],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        return _until_ready(server, log, say)
    except BaseException:
        _stop(server)
        raise


def _until_ready(server: subprocess.Popen[bytes], log: Path, say: Callable[[str], None]) -> str:
    said = 0
    while True:
        ended = server.poll() is not None  # before reading: what it said last is then in the log
        text = log.read_text(encoding="utf-8", errors="replace")
        whole = text.rfind("\n") + 1
        for line in text[said:whole].splitlines():
            say(line)
        said = whole
        ready = _READY.search(text)
        if ready is not None:
            return ready[1]
        if ended:
            raise LaunchError(f"the server could not start (status {server.returncode}); its log is {log}")
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    with suppress(subprocess.TimeoutExpired):
        server.wait(_STOP_SECONDS)
        return
    server.kill()
    server.wait()


def _new_log() -> Path:
    """A file for this server alone; of the earlier ones the last few are kept."""
    folder = home() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    for old in sorted(folder.glob("launch-*.log"))[: 1 - _LOGS_KEPT]:
        old.unlink(missing_ok=True)
    return folder / f"launch-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
