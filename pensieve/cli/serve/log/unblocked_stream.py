"""A text stream that loses what it cannot write now, as to a pipe without a reader: the server never waits."""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from typing import Final

_writing: Final = threading.Lock()
"""Of all such streams: standard output and error are often one pipe, and one of them could take the room that the other
has seen.
"""


def unblock_standard_streams() -> None:
    """From now on, no `print` of this process waits for a reader, nor fails where there is none."""
    sys.stdout, sys.stderr = UnblockedStream(sys.stdout.fileno()), UnblockedStream(sys.stderr.fileno())


class UnblockedStream(io.TextIOBase):
    """Writes whole lines to a file descriptor that belongs to others. The next one that fits says how many are lost."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._target = _unblocked_terminal(fd)
        self._begun = ""
        self._is_broken_off = False
        self.num_lost = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]  # writable there, though nothing writes it
        return "utf-8"

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        if not self.closed and self._target != self._fd:
            os.close(self._target)
        super().close()

    def write(self, text: str) -> int:
        with _writing:
            self._begun += text
            if "\n" in text:
                self._write_begun()
        return len(text)

    def flush(self) -> None:
        with _writing:
            self._write_begun()

    def _write_begun(self) -> None:
        text, self._begun = self._begun, ""
        if not text:
            return
        lost = f"({self.num_lost} lines are missing here)\n" if self.num_lost else ""
        data = ("\n" * self._is_broken_off + lost + text).encode(errors="backslashreplace")
        num_bytes = self._write(data)
        self._is_broken_off = 0 < num_bytes < len(data) or (not num_bytes and self._is_broken_off)
        self.num_lost = 0 if num_bytes == len(data) else self.num_lost + max(1, text.count("\n"))

    def _write(self, data: bytes) -> int:
        """The number of bytes that were written. A pipe that is ready takes PIPE_BUF bytes at least."""
        num_bytes = 0
        while num_bytes < len(data) and self._is_ready():
            try:
                num_bytes += os.write(self._target, data[num_bytes : num_bytes + select.PIPE_BUF])
            except OSError:
                break
        return num_bytes

    def _is_ready(self) -> bool:
        try:
            return bool(select.select([], [self._target], [], 0)[1])
        except (OSError, ValueError):
            return False


def _unblocked_terminal(fd: int) -> int:
    """A terminal, opened once more: it may have room for less than a line, as when its window stands still, and would
    wait for more. Anything else is used as it is.
    """
    try:
        return os.open(os.ttyname(fd), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return fd
