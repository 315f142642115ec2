"""Which of the running servers a command is about."""

from __future__ import annotations

import argparse
import http.client
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pensieve.cli.parser import argument_type
from pensieve.cli.servers.address import server_port, server_url
from pensieve.cli.servers.http_client import RequestError, ServerClient
from pensieve.cli.servers.processes import server_processes
from pensieve.cli.settings.read import configured_text
from pensieve.cli.settings.values import api_key as sendable_key

if TYPE_CHECKING:
    import psutil

NO_SERVER: Final = "no server runs on this machine; start one with `pensieve serve`"


class NoServerError(Exception):
    """There is no such server, or more than one. The message says what to do."""


@dataclass(frozen=True, slots=True)
class FoundServer:
    """`process` is None for a server of another machine or user. `health` is empty if it does not answer; without its
    key, it has only the status.
    """

    url: str | None
    process: psutil.Process | None
    health: dict[str, Any]

    @property
    def label(self) -> str:
        return self.url or f"process {self.process.pid if self.process else '?'}"

    @property
    def models(self) -> list[dict[str, Any]]:
        models = self.health.get("models")
        return models if isinstance(models, list) else []


def add_address(parser: argparse.ArgumentParser) -> None:
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--url", type=argument_type(server_url), help="the server's URL (default: the server that runs on this machine)"
    )
    place.add_argument("--port", type=argument_type(server_port), metavar="P", help="its port on this machine")
    parser.add_argument(
        "--api-key", metavar="K", help="its key; prefer PENSIEVE_API_KEY, since other users can see flags"
    )


def key_of(arguments: argparse.Namespace) -> str | None:
    """
    Raises:
        RequestError: it has characters that a request cannot have.
    """
    text = arguments.api_key or configured_text("api_key")
    try:
        return sendable_key(text) if text else None
    except ValueError as error:
        raise RequestError(str(error)) from error


def address_of(arguments: argparse.Namespace) -> str | None:
    """The address that the user gave."""
    return arguments.url or (f"http://127.0.0.1:{arguments.port}" if arguments.port else None)


def found_servers(api_key: str | None) -> list[FoundServer]:
    """The servers on this machine, those that are still starting included."""
    serving = list(server_processes())
    with ThreadPoolExecutor() as threads:  # one that does not answer delays the others by nothing
        healths = threads.map(lambda each: health_of(each.url, api_key) if each.url else {}, serving)
    return [FoundServer(each.url, each.process, health) for each, health in zip(serving, healths, strict=True)]


def chosen_server(arguments: argparse.Namespace, model: str | None = None) -> FoundServer:
    """The server that the user named, or the only one; of several, the one that knows the model.

    Raises:
        NoServerError: there is none, or more than one.
    """
    key, address = key_of(arguments), address_of(arguments)
    servers = found_servers(key)
    if address is not None:
        return _at(address, servers, key)
    if len(servers) > 1 and model is not None:
        servers = [
            server for server in servers if any(model in (each["id"], each.get("alias")) for each in server.models)
        ] or servers
    if not servers:
        raise NoServerError(NO_SERVER)
    if len(servers) > 1:
        names = ", ".join(server.label for server in servers)
        raise NoServerError(f"{len(servers)} servers run on this machine ({names}); name one with --port")
    return servers[0]


def _at(address: str, servers: list[FoundServer], api_key: str | None) -> FoundServer:
    here = next((server for server in servers if server.url and _same_place(server.url, address)), None)
    if here is not None:
        return here
    health = health_of(address, api_key)
    if not health:
        raise NoServerError(f"no server answers at {address}; start one with `pensieve serve`")
    return FoundServer(address, None, health)


def health_of(url: str, api_key: str | None) -> dict[str, Any]:
    try:
        return ServerClient(url, api_key).get("/health")[1]
    except (OSError, http.client.HTTPException):
        return {}


def _same_place(url: str, other: str) -> bool:
    first, second = urlsplit(url), urlsplit(other)
    names = {first.hostname, second.hostname}
    return first.port == second.port and (len(names) == 1 or names <= {"127.0.0.1", "localhost", "::1"})
