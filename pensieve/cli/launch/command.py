"""`pensieve launch claude`: starts Claude Code on a running server, or on a new one (C7, S14).

Unknown arguments, and all arguments after `--`, are passed to Claude Code. It is configured through its environment
alone, so that none of the user's files changes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from pensieve.cli.launch.claude_environment import (
    SHELLS,
    ClaudeEnvironment,
    environment_for,
    environment_without_server,
    shell_lines,
)
from pensieve.cli.launch.claude_program import claude_arguments, exec_claude, find_claude
from pensieve.cli.launch.first_prompt import Body
from pensieve.cli.launch.running_servers import (
    ForeignServerError,
    LaunchError,
    RunningServer,
    count_tokens,
    find_server,
    is_port_free,
    normalized_url,
)
from pensieve.cli.launch.started_server import HOST, start_server
from pensieve.cli.parser import SentenceParser, argument_type
from pensieve.cli.servers.address import server_port
from pensieve.cli.settings.read import configured_text
from pensieve.cli.settings.settings import DEFAULT_PORT

if TYPE_CHECKING:
    from pensieve.cli.launch.window import WindowProblem

_FAILED, _INTERRUPTED = 1, 130


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """The parsed command line. `arguments` are for Claude Code."""

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
    """Only the client's name is parsed here. `launch` parses the rest."""
    parser.add_argument("client", metavar="claude", choices=["claude"], help="the client to start")
    parser.add_argument(
        "arguments", metavar="...", nargs=argparse.REMAINDER, help="see `pensieve launch claude --help`"
    )


def launch(words: Sequence[str]) -> int:
    """Run the command with the words after `claude`. It returns the exit status only if the CLI was not started."""
    try:
        options = parse_launch(words, os.environ)
        if options.shell is not None:
            print(shell_lines(options.shell, _environment_to_print(options)))
            return 0
        _exec_claude(options)
    except LaunchError as error:
        _print(f"pensieve: {error}")
        return _FAILED
    except KeyboardInterrupt:
        return _INTERRUPTED


def parse_launch(words: Sequence[str], environment: Mapping[str, str]) -> LaunchOptions:
    """Split the words into Pensieve's flags and Claude Code's arguments, which keep their order.

    Raises:
        LaunchError: the URL, or the port in the environment, is wrong.
        SystemExit: --help or wrong usage; argparse has printed the message.
    """
    cut = words.index("--") if "--" in words else len(words)
    known, unknown = _parser().parse_known_args(words[:cut])
    port: int | None = known.port
    if port is None and (text := configured_text("port", environment)):
        port = _port_of_environment(text)
    return LaunchOptions(
        arguments=(*unknown, *words[cut + 1 :]),
        model=known.model,
        url=None if known.url is None else normalized_url(known.url),
        port=port,
        api_key=known.api_key or configured_text("api_key", environment),
        claude=known.claude or environment.get("PENSIEVE_CLAUDE") or None,
        shell=known.print_env,
    )


def _parser() -> argparse.ArgumentParser:
    parser = SentenceParser(
        prog="pensieve launch claude",
        usage="%(prog)s [--model M] [--url URL | --port P] [--print-env[=SHELL]] [-- CLAUDE ARGUMENTS]",
        description="Start Claude Code on the Pensieve server that runs on this machine, or start a server for it.",
        epilog="All other arguments, and everything after --, are passed to Claude Code. "
        "A new server takes its settings from the PENSIEVE_ variables that `pensieve serve --help` lists, and from "
        "the settings file.",
    )
    parser.add_argument(
        "--model", metavar="M", help="the model to serve, as in `pensieve serve`; a running server must serve it"
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--url", help="the URL of a running Pensieve server; no server is started")
    place.add_argument(
        "--port",
        type=argument_type(server_port),
        metavar="P",
        help=f"the server's port on this machine (default: {DEFAULT_PORT}) [PENSIEVE_PORT]",
    )
    parser.add_argument(
        "--api-key", metavar="K", help="the server's key; prefer PENSIEVE_API_KEY, since other users can see flags"
    )
    parser.add_argument(
        "--claude", metavar="FILE", help="the path of the Claude Code program, if it is not on PATH [PENSIEVE_CLAUDE]"
    )
    parser.add_argument(
        "--print-env",
        nargs="?",
        const="sh",
        choices=SHELLS,
        help="print the environment for a shell, and start nothing",
    )
    return parser


def _port_of_environment(text: str) -> int | None:
    """None for 0, which lets a server choose its port, so that a client has no address to look at."""
    try:
        return server_port(text) if text != "0" else None
    except ValueError as error:
        raise LaunchError(f"PENSIEVE_PORT: {error}") from None


def _environment_to_print(options: LaunchOptions) -> ClaudeEnvironment:
    server = find_server(options.address, options.api_key, options.model)
    if server is None:
        return environment_without_server(options.address, options.api_key, os.environ)
    problem = _problem_of(server, options)
    remarks = "\n".join(problem.lines).splitlines() if problem else ()
    return environment_for(server, options.api_key, os.environ, remarks=remarks)


def _exec_claude(options: LaunchOptions) -> NoReturn:
    program = find_claude(options.claude)  # first: without it, a server would load its model for nothing
    server = _server(options)
    problem = _problem_of(server, options)
    if problem is not None:
        _refuse_if_certain(problem)
        _print("pensieve: warning: " + "\n".join(problem.lines))
    environment = environment_for(server, options.api_key, os.environ)
    exec_claude(
        program, claude_arguments(options.arguments, environment.as_settings()), environment.applied_to(os.environ)
    )


def _problem_of(server: RunningServer, options: LaunchOptions) -> WindowProblem | None:
    from pensieve.cli.launch.window import window_problem  # noqa: PLC0415 - not needed for other commands

    def count(body: Body) -> int:
        return count_tokens(server, options.api_key, body)

    return window_problem(server.model, server.window_tokens, count, options.arguments, is_running=True)


def _refuse_if_certain(problem: WindowProblem) -> None:
    if problem.is_certain:
        raise LaunchError("\n".join(problem.lines))


def _server(options: LaunchOptions) -> RunningServer:
    """The running server, else a new one."""
    try:
        running = find_server(options.address, options.api_key, options.model)
    except ForeignServerError as error:
        if options.url is not None or options.port is not None:
            raise
        _print(f"pensieve: {error}; starting a server on a free port")
        return _start(options, 0)
    if running is not None:
        return running
    if options.url is not None:
        raise LaunchError(f"no server answers at {options.url}; start one with `pensieve serve`, or omit --url")
    port = options.port or DEFAULT_PORT
    if not is_port_free(HOST, port):
        raise LaunchError(
            f"port {port} is in use, but nothing answers there. If it is a Pensieve server that is still loading its "
            "model, try again later; otherwise choose another --port"
        )
    return _start(options, port)


def _start(options: LaunchOptions, port: int) -> RunningServer:
    from pensieve.cli.launch.unloaded import problem_before_loading  # noqa: PLC0415 - not needed for other commands

    problem = problem_before_loading(options.model, os.environ, options.arguments)
    if problem is not None:
        _refuse_if_certain(problem)
    flags = ["--model", options.model] if options.model else []
    key = {"PENSIEVE_API_KEY": options.api_key} if options.api_key else {}  # not as a flag, which other users can see
    url = start_server(port, flags, {**os.environ, **key}, _print)
    server = find_server(url, options.api_key)
    if server is None:
        raise LaunchError(f"the new server at {url} does not answer")
    return server


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
