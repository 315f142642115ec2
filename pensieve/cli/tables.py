"""Tables that fit the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

_UNLIMITED: Final = 10_000
_MIN_WIDTH: Final = 40


def terminal_width() -> int | None:
    """Columns of the terminal; None if the output goes to a file or a program, which may search its lines."""
    return max(_MIN_WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else None


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = (), width: int | None = None
) -> Iterator[str]:
    """The lines of a table. Cells are broken where it would exceed the width; columns in `right` are aligned there."""
    from rich.console import Console  # noqa: PLC0415 - not needed for --help
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="")
    for name in header:
        drawn.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=name in right)
    for row in rows:
        drawn.add_row(*map(Text, row))
    console = Console(width=width or _UNLIMITED, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(drawn)
    yield from (line.rstrip() for line in captured.get().splitlines())
