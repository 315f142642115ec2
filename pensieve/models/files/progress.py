"""Telling the user how far the preparation of a model is."""

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
    """Where news of a preparation goes."""

    def print(self, sentence: str) -> None:
        """Something has begun or was found."""

    def track(self, what: str, total_bytes: int) -> AbstractContextManager[Callable[[int], None]]:
        """A download, a conversion, a check: the function it yields is told, at any pace, the bytes that are done."""


class SilentProgress:
    """Tells nobody."""

    def print(self, sentence: str) -> None:
        pass

    @contextmanager
    def track(self, what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002
        yield lambda _: None


class ConsoleProgress:
    """A bar on a terminal; elsewhere a line every few seconds. Standard output is left to the program."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    @cached_property
    def _console(self) -> Console:
        from rich.console import Console  # noqa: PLC0415 - most starts have nothing to tell

        return Console(file=self._stream, highlight=False, soft_wrap=True)

    def print(self, sentence: str) -> None:
        self._console.print(sentence, markup=False)

    @contextmanager
    def track(self, what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        if not self._console.is_terminal:
            yield self._lines(what, total_bytes)
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
        with Progress(*columns, TimeRemainingColumn(), console=self._console) as bar:
            task = bar.add_task(what, total=total_bytes)
            yield lambda num_bytes: bar.update(task, completed=min(num_bytes, total_bytes))

    def _lines(self, what: str, total_bytes: int) -> Callable[[int], None]:
        last = time.monotonic()

        def report(num_bytes: int) -> None:
            nonlocal last
            if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                done = min(num_bytes, total_bytes)
                self.print(f"{what}: {done / _MEGABYTE:.0f} of {total_bytes / _MEGABYTE:.0f} MB")

        self.print(f"{what}: {total_bytes / _MEGABYTE:.0f} MB")
        return report
