"""The `pensieve` command."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from pensieve import __version__
from pensieve.cli import cache, fit, launch, models, settings
from pensieve.models.home import home

EXIT_FAILED, EXIT_USAGE = 1, 2

_KERNELS_VARIABLE = "MLX_PTX_CACHE_DIR"
"""Where MLX keeps what it compiled for CUDA. By default that is a folder which every user may write to, and which many
machines empty at each start: compiling takes minutes.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the process's exit status: 0, 1 when it failed, 2 when it was asked wrongly."""
    parser = argparse.ArgumentParser(
        prog="pensieve", description="The Anthropic Messages API from a model on your own machine."
    )
    parser.add_argument("--version", action="version", version=f"pensieve {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="serve a model",
        description="Serve a model. Prints one line with its URL when it is ready.",
        epilog="Each setting can also be given as the environment variable in brackets; a flag is stronger.",
    )
    settings.add_arguments(serve)
    cache.add_parser(commands)
    models.add_parser(commands)
    fit.add_parser(commands)
    launch.add_arguments(
        commands.add_parser("launch", help="start a client on a model", description="Start a client on a model.")
    )
    arguments = parser.parse_args(argv)
    if arguments.command == "launch":
        return launch.launch(arguments.arguments)
    if arguments.command == "models":
        return models.run(arguments)
    if arguments.command == "fit":
        return fit.run(arguments)
    return cache.run(arguments) if arguments.command == "cache" else _serve(arguments)


def _serve(arguments: argparse.Namespace) -> int:
    try:
        chosen = settings.read_settings(arguments)
    except settings.SettingsError as error:
        print(f"pensieve: {error}", file=sys.stderr)
        return EXIT_USAGE
    os.environ.setdefault(_KERNELS_VARIABLE, str(home() / "kernels"))
    from pensieve.cli.serve import serve  # noqa: PLC0415 - --help and --version answer without the server's imports
    from pensieve.metal.leaving import leave  # noqa: PLC0415

    return leave(serve(chosen))


if __name__ == "__main__":
    sys.exit(main())
