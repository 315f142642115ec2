"""The last lines of the log, for the status page. They are in memory alone."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

MAX_LINES: Final = 300
MAX_CHARACTERS: Final = 1000
"""Of a line's text."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """`number` counts all lines from 1 on, `time` is in seconds since the epoch."""

    number: int
    time: float
    level: str
    logger: str
    text: str


class RecentLog(logging.Handler):
    """Keeps the last `MAX_LINES`, without tracebacks, and without DEBUG: reading the log would add to it."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._lines = deque[LogLine](maxlen=MAX_LINES)
        self._numbers = itertools.count(1)

    def emit(self, record: logging.LogRecord) -> None:
        text = f"{record.getMessage()}{getattr(record, 'details', '')}"[:MAX_CHARACTERS]  # those of a request's line
        self._lines.append(LogLine(next(self._numbers), record.created, record.levelname, record.name, text))

    def lines_after(self, number: int) -> list[LogLine]:
        """The kept lines that follow the line with that number."""
        self.acquire()
        try:
            return [line for line in self._lines if line.number > number]
        finally:
            self.release()

    @property
    def last_number(self) -> int:
        return self._lines[-1].number if self._lines else 0
