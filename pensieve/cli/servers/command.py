"""`pensieve ps`, `stop`, `logs`, `load` and `unload`: the servers that run, and their models."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pensieve.api.recent_log import MAX_LINES
from pensieve.cli.parser import argument_type
from pensieve.cli.servers.choice import (
    NO_SERVER,
    FoundServer,
    NoServerError,
    add_address,
    chosen_server,
    found_servers,
    health_of,
    key_of,
)
from pensieve.cli.servers.http_client import RequestError, ServerClient
from pensieve.cli.servers.log_lines import log_lines
from pensieve.cli.settings.values import positive_int
from pensieve.cli.sizes import format_duration, format_size
from pensieve.cli.tables import table, terminal_width

_NUM_LINES: Final = 50
_HEADER: Final = ("MODEL", "STATE", "SIZE", "DRAFTS", "RUNNING", "IDLE", "SERVER", "PID")
_DRAFTS: Final = {"prompt_lookup": "earlier text", "draft_model": "draft model", "mtp": "MTP head"}


def add_parsers(commands: argparse._SubParsersAction[Any]) -> None:
    """Add the commands to `commands`. `run` takes the parsed arguments."""
    ps = commands.add_parser("ps", help="list the servers that run here, and their models")
    ps.add_argument("--json", action="store_true", help="print JSON")
    ps.add_argument("--api-key", metavar="K", help="the servers' key [PENSIEVE_API_KEY]")
    load = commands.add_parser("load", help="load a model of a running server now, not on its first request")
    load.add_argument("model", metavar="MODEL", help="a name that `pensieve ps` lists")
    unload = commands.add_parser("unload", help="free the memory of a server's model until its next request")
    unload.add_argument("model", metavar="MODEL", help="a name that `pensieve ps` lists")
    stop = commands.add_parser("stop", help="stop a server, after its running answers have ended")
    stop.add_argument("--all", action="store_true", help="stop all servers that run here")
    logs = commands.add_parser("logs", help="show the last lines of a running server's log")
    logs.add_argument("-f", "--follow", action="store_true", help="go on with the lines that come")
    logs.add_argument(
        "-n",
        "--lines",
        type=argument_type(positive_int),
        default=_NUM_LINES,
        metavar="N",
        help=f"how many of the last {MAX_LINES} lines (default: {_NUM_LINES})",
    )
    for parser in (load, unload, stop, logs):
        add_address(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return the exit status."""
    actions: Mapping[str, Callable[[argparse.Namespace], int]] = {
        "ps": _ps,
        "load": _change_model,
        "logs": _logs,
        "unload": _change_model,
        "stop": _stop,
    }
    try:
        return actions[arguments.command](arguments)
    except (NoServerError, RequestError) as error:
        print(f"pensieve: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _ps(arguments: argparse.Namespace) -> int:
    servers = found_servers(key_of(arguments))
    if arguments.json:
        print(json.dumps([_as_json(server) for server in servers], indent=1))
    elif not servers:
        print("No server runs on this machine. Start one with: pensieve serve")
    else:
        rows = (row for server in servers for row in _rows(server))
        print("\n".join(table(_HEADER, rows, right=("SIZE", "RUNNING", "PID"), width=terminal_width())))
    return 0


def _rows(server: FoundServer) -> Iterator[tuple[str, ...]]:
    place = ((server.url or "-").removeprefix("http://"), str(server.process.pid) if server.process else "-")
    if not server.models:
        yield ("-", "starting" if server.url is None else _state(server), "-", "-", "-", "-", *place)
    for model in server.models:
        idle = model["idle_seconds"]
        yield (
            model["id"],
            model["state"],
            format_size(model["weights_bytes"]),
            _DRAFTS.get(model.get("speculation", ""), "-"),
            str(model["active"]),
            "-" if idle is None else format_duration(idle),
            *place,
        )


def _state(server: FoundServer) -> str:
    """Of a server that does not show its models."""
    return "needs its key" if server.health.get("status") == "healthy" else server.health.get("status", "silent")


def _as_json(server: FoundServer) -> dict[str, object]:
    return {
        "url": server.url,
        "pid": server.process.pid if server.process else None,
        "status": server.health.get("status", "starting" if server.url is None else "silent"),
        "version": server.health.get("version"),
        "models": server.models,
    }


def _change_model(arguments: argparse.Namespace) -> int:
    server = chosen_server(arguments, arguments.model)
    if server.url is None:
        raise NoServerError(f"the server ({server.label}) is still starting; try again in a moment")
    client = ServerClient(server.url, key_of(arguments))
    answer = client.post(f"/models/{arguments.command}", {"model": arguments.model})
    if "model" not in answer:
        raise NoServerError(f"the server at {server.url} is not a Pensieve server; choose another address or port")
    size = _size(server.url, client.api_key, answer["model"])
    print(f"{answer['model']} is {answer['state']}{size} at {server.url}")
    return 0


def _size(url: str, api_key: str | None, model: str) -> str:
    models = health_of(url, api_key).get("models", [])
    return next((f" ({format_size(each['weights_bytes'])})" for each in models if each["id"] == model), "")


def _logs(arguments: argparse.Namespace) -> int:
    server = chosen_server(arguments)
    if server.url is None:
        raise NoServerError(f"the server ({server.label}) is still starting; try again in a moment")
    for line in log_lines(ServerClient(server.url, key_of(arguments)), arguments.lines, follow=arguments.follow):
        print(line, flush=True)
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    servers = found_servers(key_of(arguments)) if arguments.all else [chosen_server(arguments)]
    if not servers:
        raise NoServerError(NO_SERVER)
    for server in servers:
        _stop_one(server)
    return 0


def _stop_one(server: FoundServer) -> None:
    import psutil  # noqa: PLC0415 - the supervisor of a server does without it

    if server.process is None:
        raise NoServerError(f"the server at {server.url} runs on another machine, or as another user; stop it there")
    num_running = server.health.get("requests", {}).get("active", 0)
    if num_running:
        answers = "answer" if num_running == 1 else "answers"
        print(f"Waiting for {num_running} running {answers} of {server.label} ...", file=sys.stderr)
    try:
        server.process.terminate()
        server.process.wait()
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied as error:
        raise NoServerError(f"the server at {server.label} belongs to another user; stop it there") from error
    print(f"Stopped {server.label}")
