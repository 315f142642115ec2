"""Progress of long operations (downloads, conversions, checksums), for people who wait at a terminal or read a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_SECONDS_BETWEEN_LINES: Final = 5.0
_MEGABYTE: Final = 1_000_000


class Progress(Protocol):
    def print(self, sentence: str) -> None: ...

    def track(self, title: str, total_bytes: int) -> AbstractContextManager[Callable[[int], None]]:
        """Show a byte count. The function that it yields takes the number of bytes done so far, at any pace."""


class SilentProgress:
    """Shows nothing."""

    def print(self, sentence: str) -> None:
        pass

    @contextmanager
    def track(self, title: str, total_bytes: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        yield lambda _: None


class ConsoleProgress:
    """A progress bar on a terminal, a line every few seconds elsewhere; by default on standard error."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console  # noqa: PLC0415 - most commands print no progress

        return Console(file=self._stream, highlight=False, soft_wrap=True)

    def print(self, sentence: str) -> None:
        self._console.print(sentence, markup=False)

    @contextmanager
    def track(self, title: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        if not self._console.is_terminal:
            yield self._lines(title, total_bytes)
            return
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=self._console, transient=True) as bar:
            task = bar.add_task(title, total=total_bytes)
            yield lambda num_bytes: bar.update(task, completed=min(num_bytes, total_bytes))

    def _lines(self, title: str, total_bytes: int) -> Callable[[int], None]:
        last = time.monotonic()

        def report(num_bytes: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                done = min(num_bytes, total_bytes)
                self.print(f"{title}: {done / _MEGABYTE:.0f} of {total_bytes / _MEGABYTE:.0f} MB")

        self.print(f"{title}: {total_bytes / _MEGABYTE:.0f} MB")
        return report
