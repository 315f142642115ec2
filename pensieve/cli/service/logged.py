"""Runs the server with its output in a file of limited size: `python -m pensieve.cli.service.logged FILE`.

For launchd, whose own log files grow without a limit.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import Final

MAX_FILE_BYTES: Final = 10 * 1000 * 1000
NUM_OLD_FILES: Final = 3
_MAX_LINE: Final = 64 * 1024


def run_logged(log: Path, *arguments: str) -> int:
    """Run `pensieve` with these arguments until it ends, and return its exit status. It ends with this process."""
    log.parent.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(log, maxBytes=MAX_FILE_BYTES, backupCount=NUM_OLD_FILES, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(message)s"))
    log.chmod(0o600)
    command = (sys.executable, "-P", "-m", "pensieve.cli.process.parent_watch", str(os.getpid()), *arguments)
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        _pass_signals_to(process)
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        while line := process.stdout.readline(_MAX_LINE):
            handler.emit(logging.makeLogRecord({"msg": line.decode(errors="replace").rstrip("\n")}))
    handler.close()
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _pass_signals_to(process: subprocess.Popen[bytes]) -> None:
    def pass_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)


if __name__ == "__main__":
    sys.exit(run_logged(Path(sys.argv[1]), *(sys.argv[2:] or ["serve"])))
