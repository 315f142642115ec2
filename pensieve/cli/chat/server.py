"""The server that answers: one that runs already, else a new one, which ends with this process."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator
from typing import Final

from pensieve.cli.launch.running_servers import LaunchError, RunningServer, find_server
from pensieve.cli.launch.started_server import start_server
from pensieve.cli.servers.address import server_port
from pensieve.cli.servers.choice import address_of, found_servers, key_of
from pensieve.cli.settings.read import configured_text
from pensieve.cli.settings.settings import DEFAULT_PORT

_LOGGED: Final = re.compile(r"\S+ \S+ (?P<level>[A-Z]+) \S+: (?P<message>.*)")
"""A line of the log as text, which `start_server` chooses."""


def server_for(arguments: argparse.Namespace) -> RunningServer:
    """A server of the model that the user named, or of any.

    Raises:
        LaunchError: there is none at the address that the user gave, or a new one cannot be started.
        KeyboardInterrupt: the user interrupted the start.
    """
    key, address = key_of(arguments), address_of(arguments)
    if address is None:
        return _running(key, arguments.model) or _started(key, arguments.model)
    found = find_server(address, key, arguments.model)
    if found is None:
        raise LaunchError(f"no server answers at {address}; start one with `pensieve serve`")
    return found


def _running(api_key: str | None, model: str | None) -> RunningServer | None:
    """The first server that is healthy, accepts the key and serves the model."""
    for url in _addresses():
        try:
            found = find_server(url, api_key, model)
        except LaunchError:
            continue
        if found is not None:
            return found
    return None


def _addresses() -> Iterator[str]:
    """The usual one first: a server in a container or of another user has no process that could be found."""
    yield f"http://127.0.0.1:{_configured_port()}"
    yield from (server.url for server in found_servers(None) if server.url is not None)


def _configured_port() -> int:
    try:
        return server_port(configured_text("port") or "")
    except ValueError:
        return DEFAULT_PORT


def _started(api_key: str | None, model: str | None) -> RunningServer:
    print(f"pensieve: starting a server for {model or 'the default model'} ...", file=sys.stderr, flush=True)
    url = start_server(0, ["--model", model] if model else [], _environment(api_key), _print_progress)
    server = find_server(url, api_key)
    if server is None:
        raise LaunchError(f"the new server at {url} does not answer")
    return server


def _environment(api_key: str | None) -> dict[str, str]:
    """The key is not a flag, which other users can see."""
    return {**os.environ, **({"PENSIEVE_API_KEY": api_key} if api_key else {})}


def _print_progress(line: str) -> None:
    """Of the log, the warnings alone, without time and logger."""
    logged = _LOGGED.fullmatch(line)
    if logged is None:
        print(line, file=sys.stderr, flush=True)
    elif logged["level"] in ("WARNING", "ERROR"):
        print(f"pensieve: {logged['message']}", file=sys.stderr, flush=True)
