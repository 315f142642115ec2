"""`pensieve fit`: whether a model fits this machine and how fast it will be, before it is downloaded or loaded (U3)."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from pensieve.cli.parser import argument_type
from pensieve.cli.settings.values import memory_limit, positive_int
from pensieve.core.errors import PensieveError

EXIT_FAILED, EXIT_DOES_NOT_FIT = 1, 3


def add_parser(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the command to `commands`. `run` takes the parsed arguments."""
    parser = commands.add_parser(
        "fit",
        help="estimate whether a model fits this machine, and how fast it will be",
        description="Estimate whether a model fits this machine and how fast it will be. Only the headers of its files "
        "are read, so a model on the Hugging Face hub is not downloaded.",
        epilog="Exit status: 0 if it fits, 3 if it does not, 1 if that is unknown, 2 for wrong usage.",
    )
    parser.add_argument("name", metavar="MODEL", help="the model, as in `pensieve serve --model`")
    parser.add_argument(
        "--memory-limit",
        type=argument_type(memory_limit),
        metavar="SIZE",
        help="memory that the server may use, such as 8GB, or 75%% of what this machine has for models",
    )
    parser.add_argument(
        "--context", type=argument_type(positive_int), metavar="N", help="length of the conversation to fit, in tokens"
    )
    parser.add_argument("--kv-bits", type=int, choices=[8], help="store keys and values in 8 bits")
    parser.add_argument("--json", action="store_true", help="print JSON, with sizes in bytes")
    parser.add_argument(
        "--probe", action="store_true", help="measure the speed of this machine again, which takes ten seconds"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    from pensieve.cli.fit.figures import FitOptions, estimate_fit  # noqa: PLC0415 - not needed for --help
    from pensieve.cli.fit.report import report_lines  # noqa: PLC0415
    from pensieve.device.process_exit import exit_cleanly  # noqa: PLC0415

    options = FitOptions(arguments.memory_limit, arguments.context, arguments.kv_bits, arguments.probe)
    try:
        fit = estimate_fit(arguments.name, options)
    except PensieveError as error:
        print(f"pensieve: {error}", file=sys.stderr)
        return exit_cleanly(EXIT_FAILED)
    print(json.dumps(fit.as_json(), indent=1) if arguments.json else "\n".join(report_lines(fit)))
    return exit_cleanly(0 if fit.fits else EXIT_DOES_NOT_FIT)
