"""`pensieve launch claude`: Claude Code on the server that runs, or on one that is started for it (C7, S14).

What this command does not know it passes on, and everything after `--`. None of the user's files is changed: the CLI is
told everything by its environment.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from pensieve.cli.launch.claude_environment import (
    SHELLS,
    ClaudeEnvironment,
    environment_for,
    environment_without_server,
    too_small,
    written_for,
)
from pensieve.cli.launch.claude_program import arguments_for, become, find_claude
from pensieve.cli.launch.running_servers import (
    ForeignServerError,
    LaunchError,
    RunningServer,
    checked_url,
    find_server,
    is_free,
)
from pensieve.cli.launch.started_server import HOST, start_server
from pensieve.cli.settings.settings import DEFAULT_PORT
from pensieve.cli.settings.values import MAX_PORT

_FAILED, _INTERRUPTED = 1, 130


@dataclass(frozen=True, slots=True)
class Launch:
    """What the user asked for. Without `url` and `port`, the default address is meant."""

    arguments: tuple[str, ...]
    model: str | None
    url: str | None
    port: int | None
    api_key: str | None
    claude: str | None
    shell: str | None

    @property
    def address(self) -> str:
        return self.url or f"http://{HOST}:{self.port or DEFAULT_PORT}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All that follows the client's name is read by `launch`."""
    parser.add_argument("client", choices=["claude"], help="the client to start")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="see pensieve launch claude --help")


def launch(words: Sequence[str]) -> int:
    """Run it with the words after `claude`. Returns only where the CLI was not started: the exit status."""
    try:
        asked = read_launch(words, os.environ)
        if asked.shell is not None:
            print(written_for(asked.shell, _environment_to_print(asked)))
            return 0
        _become_claude(asked)
    except LaunchError as error:
        _say(f"pensieve: {error}")
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED


def read_launch(words: Sequence[str], environment: Mapping[str, str]) -> Launch:
    """Our own flags, and the rest for the CLI: unknown ones in their order, then all that follows `--`.

    Raises:
        LaunchError: an address cannot be read.
        SystemExit: --help, or a flag with a value that cannot be; argparse has said so.
    """
    cut = words.index("--") if "--" in words else len(words)
    known, unknown = _parser().parse_known_args(words[:cut])
    port: int | None = known.port
    if port is None and environment.get("PENSIEVE_PORT"):
        port = _port_of_environment(environment["PENSIEVE_PORT"])
    return Launch(
        arguments=(*unknown, *words[cut + 1 :]),
        model=known.model,
        url=None if known.url is None else checked_url(known.url),
        port=port,
        api_key=known.api_key or environment.get("PENSIEVE_API_KEY") or None,
        claude=known.claude or environment.get("PENSIEVE_CLAUDE") or None,
        shell=known.print_env,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pensieve launch claude",
        usage="%(prog)s [--model M] [--url URL | --port P] [--print-env[=SHELL]] [-- ARGUMENTS OF CLAUDE]",
        description="Start Claude Code on the server that runs at this machine, or on one that is started for it.",
        epilog="Other arguments, and all after --, go to Claude Code as they are. "
        "Settings of a server that is started come from the PENSIEVE_ variables of `pensieve serve --help`.",
        allow_abbrev=False,  # --print is an argument of the CLI, not the half of --print-env
    )
    parser.add_argument("--model", metavar="M", help="the model, as in `pensieve serve`")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--url", help="the address of a Pensieve that runs; nothing is started then")
    place.add_argument(
        "--port", type=_port, metavar="P", help=f"the port on this machine (default: {DEFAULT_PORT}) [PENSIEVE_PORT]"
    )
    parser.add_argument("--api-key", metavar="K", help="the server's key; better set as PENSIEVE_API_KEY")
    parser.add_argument("--claude", metavar="FILE", help="the CLI, where it is not on PATH [PENSIEVE_CLAUDE]")
    parser.add_argument(
        "--print-env", nargs="?", const="sh", choices=SHELLS, help="write the environment for a shell, start nothing"
    )
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= MAX_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to {MAX_PORT}")
    return int(text)


def _port_of_environment(text: str) -> int | None:
    """0, a free port, is what a server can be told and a client cannot: there is nothing to look for then."""
    try:
        return _port(text) if text != "0" else None
    except argparse.ArgumentTypeError as error:
        raise LaunchError(f"PENSIEVE_PORT: {error}") from None


def _environment_to_print(asked: Launch) -> ClaudeEnvironment:
    server = find_server(asked.address, asked.api_key, asked.model)
    if server is None:
        return environment_without_server(asked.address, asked.api_key, os.environ)
    warning = too_small(server, asked.arguments)
    return environment_for(server, asked.api_key, os.environ, remarks=(warning,) if warning else ())


def _become_claude(asked: Launch) -> NoReturn:
    program = find_claude(asked.claude)  # first: without it, no model needs to be loaded
    server = _server(asked)
    warning = too_small(server, asked.arguments)
    if warning is not None:
        _say(f"pensieve: warning: {warning}")
    environment = environment_for(server, asked.api_key, os.environ)
    become(program, arguments_for(asked.arguments, environment.as_settings()), environment.applied_to(os.environ))


def _server(asked: Launch) -> RunningServer:
    """The one that runs, else one of our own."""
    try:
        running = find_server(asked.address, asked.api_key, asked.model)
    except ForeignServerError as error:
        if asked.url is not None or asked.port is not None:
            raise
        _say(f"pensieve: {error}; starting a server on a free port")
        return _started(asked, 0)
    if running is not None:
        return running
    if asked.url is not None:
        raise LaunchError(f"no server answers at {asked.url}; start one with `pensieve serve`, or leave out --url")
    port = asked.port or DEFAULT_PORT
    if not is_free(HOST, port):
        raise LaunchError(
            f"port {port} is held by something that does not answer. If it is a Pensieve that loads its model, "
            "try again when it serves; else choose another --port"
        )
    return _started(asked, port)


def _started(asked: Launch, port: int) -> RunningServer:
    flags = ["--model", asked.model] if asked.model else []
    key = {"PENSIEVE_API_KEY": asked.api_key} if asked.api_key else {}  # not a flag: other users see those
    url = start_server(port, flags, {**os.environ, **key}, _say)
    server = find_server(url, asked.api_key)
    if server is None:
        raise LaunchError(f"the server that was started at {url} does not answer")
    return server


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
