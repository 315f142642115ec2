"""The `pensieve` command (S10, U9)."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence

from pensieve import __version__
from pensieve.cli import bench, cache, completion, keys, version
from pensieve.cli.chat import command as chat
from pensieve.cli.config import command as config
from pensieve.cli.doctor import command as doctor
from pensieve.cli.fit import command as fit
from pensieve.cli.launch import command as launch
from pensieve.cli.models import command as models
from pensieve.cli.parser import EXIT_USAGE, CommandParser
from pensieve.cli.serve.supervised import inherited
from pensieve.cli.serve.supervisor import supervise
from pensieve.cli.servers import command as servers
from pensieve.cli.service import command as service
from pensieve.cli.settings.names import unknown_variables
from pensieve.cli.settings.read import read_settings
from pensieve.cli.settings.settings import SettingsError
from pensieve.cli.settings.settings_file import read_settings_file
from pensieve.cli.settings.table import add_arguments
from pensieve.models.files.home import home, home_problem

EXIT_FAILED, EXIT_INTERRUPTED = 1, 130
_OF_FILES = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EPERM, errno.EROFS)
_RUN: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "bench": bench.run,
    "cache": cache.run,
    "chat": chat.run,
    "completion": completion.run,
    "config": config.run,
    "doctor": doctor.run,
    "fit": fit.run,
    "keys": keys.run,
    "launch": lambda arguments: launch.launch(arguments.arguments),
    "models": models.run,
    "run": chat.run,
    "service": service.run,
    "version": version.run,
    **dict.fromkeys(("load", "logs", "ps", "stop", "unload"), servers.run),
    **dict.fromkeys(models.SHORT_FORMS, models.run),
}
"""What runs each command but `serve`, which needs its own words for its child process."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0 for success, 1 for failure, 2 for wrong usage."""
    words = sys.argv[1:] if argv is None else argv
    parser = build_parser()
    completion.complete_for_shell(parser)
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")  # or it reports each of its retries when there is no network
    arguments = parser.parse_args(words)
    if arguments.command != "doctor" and (problem := home_problem()):
        print(f"pensieve: {problem}", file=sys.stderr)
        return 1
    try:
        status = _serve(arguments, words) if arguments.command == "serve" else _RUN[arguments.command](arguments)
        sys.stdout.flush()  # not at exit, where an error cannot be handled
    except OSError as error:
        if error.errno not in _OF_FILES:
            raise
        return _give_up(error)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return status


def _give_up(error: OSError) -> int:
    """A file of the user's, or the output, cannot be used. The reader of a broken pipe has read enough."""
    if not error.filename:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the rest would fail at exit
    if not isinstance(error, BrokenPipeError):
        what = error.filename or "the output cannot be written"
        print(f"pensieve: {what}: {error.strerror}", file=sys.stderr)
    return EXIT_FAILED


def build_parser() -> CommandParser:
    """The parser of all commands, in the order in which the help lists them."""
    parser = CommandParser(
        prog="pensieve",
        usage="%(prog)s COMMAND ...",
        description="Serve the Anthropic Messages API from a model on your own machine.",
        epilog="`pensieve COMMAND --help` describes a command.",
    )
    parser.add_argument("--version", action="version", version=f"pensieve {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", title="commands")
    _add_serve(commands)
    launch.add_arguments(
        commands.add_parser(
            "launch", help="start a client on a local model", description="Start a client on a local model."
        )
    )
    chat.add_parsers(commands)
    servers.add_parsers(commands)
    models.add_short_forms(commands)
    models.add_parser(commands)
    fit.add_parser(commands)
    bench.add_parser(commands)
    config.add_parser(commands)
    doctor.add_parser(commands)
    service.add_parser(commands)
    cache.add_parser(commands)
    keys.add_parser(commands)
    completion.add_parser(commands)
    version.add_parser(commands)
    return parser


def _add_serve(commands: argparse._SubParsersAction[CommandParser]) -> None:
    serve = commands.add_parser(
        "serve",
        help="serve a model",
        usage="%(prog)s [MODEL] [FLAGS]",
        description="Serve a model, and print one line with the server's URL when it is ready.",
        epilog="Each setting can also be given as the environment variable in brackets. A flag overrides it, and "
        "both override the settings file.",
    )
    serve.add_argument("served", nargs="?", metavar="MODEL", help="the same as --model")
    add_arguments(serve)


def _serve(arguments: argparse.Namespace, argv: Sequence[str]) -> int:
    supervised = inherited()
    if supervised is None:
        for problem in unknown_variables(os.environ):
            print(f"pensieve: warning: {problem}", file=sys.stderr)
    try:
        _take_model(arguments)
        chosen = read_settings(arguments, file=read_settings_file())
    except SettingsError as error:
        print(f"pensieve: {error}", file=sys.stderr)
        return EXIT_USAGE
    if supervised is None and not chosen.no_supervise:
        return supervise(chosen, argv)
    set_kernel_cache(os.environ)
    from pensieve.cli.serve.command import serve  # noqa: PLC0415 - not needed for --help and --version
    from pensieve.device.process_exit import exit_cleanly  # noqa: PLC0415

    return exit_cleanly(serve(chosen, supervised))


def _take_model(arguments: argparse.Namespace) -> None:
    """`pensieve serve MODEL` is `pensieve serve --model MODEL`."""
    if arguments.served is None:
        return
    if arguments.model not in (None, arguments.served):
        raise SettingsError(f"MODEL is {arguments.served} and --model is {arguments.model}: name one of them")
    arguments.model = arguments.served


def set_kernel_cache(environment: MutableMapping[str, str]) -> None:
    """Point MLX's cache of compiled CUDA kernels to PENSIEVE_HOME. It has to be set before MLX is imported.

    MLX's default is a folder that every user may write to and that many machines empty at boot, while compiling the
    kernels takes minutes.
    """
    environment.setdefault("MLX_PTX_CACHE_DIR", str(home() / "kernels"))


if __name__ == "__main__":
    sys.exit(main())
