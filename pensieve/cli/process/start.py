"""Starts the `pensieve` command: with three open streams, and so that Ctrl-C ends it without a traceback (U9)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import Final

_INTERRUPTED: Final = 130
_LAST_STREAM: Final = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status. Nothing that takes time to import is imported before."""
    open_missing_streams()
    with ending_at_interrupt():
        from pensieve.cli.main import main as run  # noqa: PLC0415
    try:
        return run(argv)
    except KeyboardInterrupt:
        return _INTERRUPTED


def open_missing_streams() -> None:
    """A caller may have closed standard streams. The next file or socket would get their numbers, and with them
    whatever a library prints.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= _LAST_STREAM:
        os.set_inheritable(opened, True)  # noqa: FBT003
    os.close(opened)
    for name, mode in {"stdin": "r", "stdout": "w", "stderr": "w"}.items():
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the end


@contextlib.contextmanager
def ending_at_interrupt() -> Iterator[None]:
    """Within this block, Ctrl-C ends the process as if it was not Python. Where it is ignored, it stays ignored."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
