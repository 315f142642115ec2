"""`pensieve doctor`: runs every check of the table, and prints what it finds."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pensieve.models.files.progress import ConsoleProgress, SilentProgress

if TYPE_CHECKING:
    from pensieve.cli.doctor.check import CheckResult

EXIT_PROBLEM: Final = 1
_STYLES: Final = {"ok": "green", "problem": "bold red", "skipped": "dim"}


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `commands`. `run` takes the parsed arguments."""
    parser = commands.add_parser(
        "doctor",
        help="find out what is wrong with this installation, and how to fix it",
        description="Examine this machine and this installation, and name the fix of each problem. Nothing is changed, "
        "except that the embedded model is fetched if it is missing.",
        epilog="Exit status: 0 if all is well, 1 if there is something to fix.",
    )
    parser.add_argument("--quick", action="store_true", help="compute no checksums, and leave out the model's answer")
    parser.add_argument(
        "--json", action="store_true", help="print JSON for a bug report, without paths, names and keys of yours"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from pensieve.cli.doctor.check import Subject  # noqa: PLC0415
    from pensieve.cli.doctor.examination import TABLE, examine, report  # noqa: PLC0415 - not needed for --help

    progress = SilentProgress() if arguments.json else ConsoleProgress()
    subject = Subject(os.environ, Path.cwd(), arguments.quick, progress)
    show = (lambda *_: None) if arguments.json else _printer(max(len(name) for name, _ in TABLE))
    results: dict[str, CheckResult] = {}
    for name, check in TABLE:
        results[name] = examine(check, subject)
        show(name, results[name])
    problems = [name for name, result in results.items() if result.status == "problem"]
    if arguments.json:
        print(json.dumps(report(results, os.environ), indent=1))
    else:
        print(f"\n{len(problems)} to fix: {', '.join(problems)}" if problems else "\nNothing to fix.")
    return EXIT_PROBLEM if problems else 0


def _printer(name_width: int) -> Callable[[str, CheckResult], None]:
    from rich.console import Console  # noqa: PLC0415 - not needed for --help
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)

    def show(name: str, result: CheckResult) -> None:
        table = Table.grid(padding=(0, 2))
        table.add_column(width=max(map(len, _STYLES)))
        table.add_column(width=name_width)
        table.add_column()
        table.add_row(Text(result.status, _STYLES[result.status]), name, Text(result.what))
        if result.fix:
            table.add_row("", "", Text(f"fix: {result.fix}", "bold"))
        console.print(table)

    return show
