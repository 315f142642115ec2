"""Which server runs at an address: whether it is a Pensieve, whether it is well, which models it serves (C7).

Asked without a proxy: what is asked for is this machine, or one that the user has named.
"""

from __future__ import annotations

import errno
import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import SplitResult, urlsplit

ANSWER_SECONDS = 10.0
_MAX_ANSWER_BYTES = 1_000_000


class LaunchError(Exception):
    """It cannot go on; the message says why and names the mend."""


class ForeignServerError(LaunchError):
    """Something answers at the address, and it is not a Pensieve."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A Pensieve that answers at `url`, which has no slash at its end; its window counts prompt and answer."""

    url: str
    model: str
    window_tokens: int


def checked_url(text: str) -> str:
    """The address without what clients add to it themselves: a slash at the end, or /v1.

    Raises:
        LaunchError: it is no http or https address.
    """
    try:
        parts = urlsplit(text)
        understood = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        understood = False
    if not understood:
        raise LaunchError(f"{text!r} is no address of a server; one looks like http://127.0.0.1:8765")
    return text.rstrip("/").removesuffix("/v1").rstrip("/")


def find_server(url: str, api_key: str | None, model: str | None = None) -> RunningServer | None:
    """The Pensieve at this address; None where nobody listens. `model` is the one that it has to serve.

    Raises:
        ForeignServerError: what answers there is something else.
        LaunchError: it is stopping, wants another key, or serves other models.
    """
    try:
        status, root = _get(url, "/", api_key)
        if status != http.client.OK or root.get("service") != "pensieve":
            raise ForeignServerError(f"what answers at {url} is not a Pensieve; name another address or port")
        _, health = _get(url, "/health", api_key)
        status, listed = _get(url, "/v1/models", api_key)
    except (ConnectionRefusedError, ConnectionResetError):
        return None
    except (OSError, http.client.HTTPException) as error:
        raise ForeignServerError(f"{url} gives no answer that a Pensieve would give: {_reason(error)}") from error
    if health.get("status") != "healthy":
        raise LaunchError(f"the server at {url} is {health.get('status', 'not well')}; try again in a moment")
    if status == http.client.UNAUTHORIZED:
        raise LaunchError(f"the server at {url} wants its key: set PENSIEVE_API_KEY, or give it with --api-key")
    return _serving(url, listed, model)


def served_names(url: str, api_key: str | None) -> tuple[str, ...]:
    """The ids of the models that clients may ask the server at this address for, and of those that draft for them;
    none, where nobody listens.

    Raises:
        LaunchError: it gives no list of them.
    """
    try:
        status, listed = _get(url, "/v1/models?limit=1000", api_key)
        _, health = _get(url, "/health", api_key)
    except (ConnectionRefusedError, ConnectionResetError):
        return ()
    except (OSError, http.client.HTTPException) as error:
        raise LaunchError(f"the server at {url} does not say which models it serves: {_reason(error)}") from error
    if status != http.client.OK:
        raise LaunchError(f"the server at {url} does not say which models it serves; give its key in PENSIEVE_API_KEY")
    drafting = (model["draft_model"] for model in health.get("models", []) if model.get("draft_model"))
    return (*(str(entry["id"]) for entry in listed.get("data", [])), *map(str, drafting))


def _serving(url: str, listed: dict[str, Any], model: str | None) -> RunningServer:
    windows: dict[str, int] = {entry["id"]: entry["max_input_tokens"] for entry in listed.get("data", [])}
    if not windows:
        raise LaunchError(f"the server at {url} serves no model yet; try again in a moment")
    names = _names(model) if model else tuple(windows)
    served = next((name for name in names if name in windows), None)
    if served is None:
        raise LaunchError(
            f"the server at {url} serves {', '.join(windows)}, not {model}: "
            "leave out --model, end that server, or start another beside it with --port"
        )
    return RunningServer(url, served, windows[served])


def _names(model: str) -> tuple[str, ...]:
    """The ids under which a server may serve what the user calls `model`: a folder and a file go by their last part."""
    path = PurePath(model)
    return (model, path.name, path.stem)


def _get(url: str, path: str, api_key: str | None) -> tuple[int, dict[str, Any]]:
    """Status and JSON object; an answer that is no JSON object is an empty one."""
    parts = urlsplit(url)
    connection = _connection(parts)
    try:
        headers = {"accept": "application/json", **({"x-api-key": api_key} if api_key else {})}
        connection.request("GET", parts.path + path, headers=headers)
        answer = connection.getresponse()
        body = answer.read(_MAX_ANSWER_BYTES)
    finally:
        connection.close()
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    return answer.status, content if isinstance(content, dict) else {}


def _connection(parts: SplitResult) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=ANSWER_SECONDS)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there. A port can be held by one that does not answer yet.

    Raises:
        LaunchError: the system refuses that port for another reason.
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
