"""A text stream that loses what it cannot write now, as to a pipe without a reader: the server never waits."""

from __future__ import annotations

import io
import os
import select


class UnblockedStream(io.TextIOBase):
    """Writes to a file descriptor that belongs to others. The next line that fits says how many lines are lost."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._num_lost = 0

    @property
    def encoding(self) -> str:  # type: ignore[override]  # writable there, though nothing writes it
        return "utf-8"

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        lost = f"({self._num_lost} lines are missing here)\n" if self._num_lost else ""
        if self._write((lost + text).encode(errors="backslashreplace")):
            self._num_lost = 0
        else:
            self._num_lost += 1
        return len(text)

    def _write(self, data: bytes) -> bool:
        """A pipe that is ready takes PIPE_BUF bytes at least."""
        while data:
            if not self._is_ready():
                return False
            try:
                data = data[os.write(self._fd, data[: select.PIPE_BUF]) :]
            except OSError:
                return False
        return True

    def _is_ready(self) -> bool:
        try:
            return bool(select.select([], [self._fd], [], 0)[1])
        except (OSError, ValueError):
            return False
