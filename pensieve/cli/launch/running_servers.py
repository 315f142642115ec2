"""Finds out what runs at an address: whether it is a healthy Pensieve server, and which models it serves (C7)."""

from __future__ import annotations

import errno
import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from pensieve.cli.servers.address import server_url
from pensieve.cli.servers.http_client import RequestError, ServerClient, reason

_COUNT_SECONDS = 600.0  # a model that was unloaded is loaded for it


class LaunchError(Exception):
    """Claude Code cannot be started. The message says why and how to fix it."""


class NotServedError(LaunchError):
    """The server serves other models."""


class ForeignServerError(LaunchError):
    """Something else than a Pensieve server answers at the address."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A Pensieve server. `url` has no trailing slash; the window counts prompt and answer."""

    url: str
    model: str
    window_tokens: int


def normalized_url(text: str) -> str:
    """The URL without a trailing slash or /v1, which clients add themselves.

    Raises:
        LaunchError: it is not an http or https URL.
    """
    try:
        return server_url(text)
    except ValueError as error:
        raise LaunchError(str(error)) from None


def find_server(url: str, api_key: str | None, model: str | None = None) -> RunningServer | None:
    """The Pensieve server at this address, or None if nothing listens there. `model` is the one it must serve.

    Raises:
        ForeignServerError: something else answers there.
        LaunchError: it is stopping, needs another key, or does not serve the model.
    """
    try:
        status, root = _get(url, "/", api_key)
        if status != http.client.OK or root.get("service") != "pensieve":
            raise ForeignServerError(f"the server at {url} is not a Pensieve server; choose another address or port")
        _, health = _get(url, "/health", api_key)
        status, listed = _get(url, "/v1/models", api_key)
    except (ConnectionRefusedError, ConnectionResetError):
        return None
    except (OSError, http.client.HTTPException) as error:
        raise ForeignServerError(
            f"the server at {url} does not answer like a Pensieve server: {reason(error)}"
        ) from error
    if health.get("status") != "healthy":
        raise LaunchError(f"the server at {url} is {health.get('status', 'unhealthy')}; try again in a moment")
    if status == http.client.UNAUTHORIZED:
        raise LaunchError(f"the server at {url} requires a key: set PENSIEVE_API_KEY or --api-key")
    by_alias = {each.get("alias"): str(each["id"]) for each in health.get("models", [])}
    return _serving(url, listed, by_alias.get(model, model) if model else None)


def served_names(url: str, api_key: str | None) -> tuple[str, ...]:
    """The ids of all models that the server at this address serves or drafts with; empty if nothing listens there.

    Raises:
        LaunchError: it does not list them.
    """
    try:
        status, listed = _get(url, "/v1/models?limit=1000", api_key)
        _, health = _get(url, "/health", api_key)
    except (ConnectionRefusedError, ConnectionResetError):
        return ()
    except (OSError, http.client.HTTPException) as error:
        raise LaunchError(f"the server at {url} does not list its models: {reason(error)}") from error
    if status != http.client.OK:
        raise LaunchError(f"the server at {url} does not list its models; set PENSIEVE_API_KEY to its key")
    draft_models = (model["draft_model"] for model in health.get("models", []) if model.get("draft_model"))
    return (*(str(entry["id"]) for entry in listed.get("data", [])), *map(str, draft_models))


def count_tokens(server: RunningServer, api_key: str | None, body: Mapping[str, Any]) -> int:
    """The tokens of a prompt, by the tokenizer and the chat template of the server's model.

    Raises:
        LaunchError: the server does not count them.
    """
    try:
        counted = ServerClient(server.url, api_key).post(
            "/v1/messages/count_tokens", {**body, "model": server.model}, timeout=_COUNT_SECONDS
        )
    except RequestError as error:
        raise LaunchError(f"the server at {server.url} does not count tokens: {error}") from error
    return int(counted["input_tokens"])


def _serving(url: str, listed: dict[str, Any], model: str | None) -> RunningServer:
    windows: dict[str, int] = {entry["id"]: entry["max_input_tokens"] for entry in listed.get("data", [])}
    if not windows:
        raise LaunchError(f"the server at {url} serves no model yet; try again in a moment")
    names = _names(model) if model else tuple(windows)
    served = next((name for name in names if name in windows), None)
    if served is None:
        raise NotServedError(
            f"the server at {url} serves {', '.join(windows)}, not {model}: "
            "omit --model, stop that server, or start a second one with --port"
        )
    return RunningServer(url, served, windows[served])


def _names(model: str) -> tuple[str, ...]:
    """The ids under which a server may serve `model`: folders and files are shortened to their last part."""
    path = PurePath(model)
    return (model, path.name, path.stem)


def _get(url: str, path: str, api_key: str | None) -> tuple[int, dict[str, Any]]:
    return ServerClient(url, api_key).get(path)


def is_port_free(host: str, port: int) -> bool:
    """Whether a server could listen there. A server that is still loading holds its port without answering.

    Raises:
        LaunchError: the system refuses the port for another reason.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise LaunchError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from error
    return True
