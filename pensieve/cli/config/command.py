"""`pensieve config`: where each setting comes from, and what is wrong with it (U5)."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from pensieve.cli.settings.settings_file import read_settings_file, settings_path
from pensieve.cli.settings.table import add_arguments

_PRECEDENCE = "A flag of `pensieve serve` overrides its environment variable, and both override the settings file."


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `commands`. `run` takes the parsed arguments."""
    parser = commands.add_parser(
        "config",
        help="show, check and edit the settings of `pensieve serve`",
        description=f"Show, check and edit the settings of `pensieve serve`. {_PRECEDENCE}",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser(
        "show",
        help="print every setting, its value and where that comes from",
        usage="%(prog)s [FLAGS OF SERVE]",
        description=f"Print every setting, its value and where that comes from. {_PRECEDENCE}",
    )
    add_arguments(show)
    actions.add_parser("path", help="print where the settings file is, or would be")
    actions.add_parser("edit", help="open the settings file in $VISUAL or $EDITOR, and check it afterwards")
    actions.add_parser("check", help="name everything that is wrong in the settings file and the environment")


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    if arguments.action == "path":
        print(settings_path())
        return 0
    if arguments.action == "edit":
        from pensieve.cli.config.edit import edit  # noqa: PLC0415

        status = edit(settings_path(), os.environ)
        return status or _check(arguments)
    return _show(arguments) if arguments.action == "show" else _check(arguments)


def _show(arguments: argparse.Namespace) -> int:
    from pensieve.cli.config.recommended import with_recommended  # noqa: PLC0415 - not needed for --help
    from pensieve.cli.config.report import print_settings  # noqa: PLC0415
    from pensieve.cli.settings.read import find_values  # noqa: PLC0415

    file = read_settings_file()
    print_settings(with_recommended(find_values(arguments, os.environ, file)), file)
    return _report(arguments)


def _check(arguments: argparse.Namespace) -> int:
    status = _report(arguments)
    if status == 0:
        print("nothing is wrong with the settings")
    return status


def _report(arguments: argparse.Namespace) -> int:
    from pensieve.cli.config.check import problems  # noqa: PLC0415

    found = problems(arguments, os.environ, read_settings_file())
    for problem in found:
        print(f"pensieve: {problem}", file=sys.stderr)
    return 1 if found else 0
