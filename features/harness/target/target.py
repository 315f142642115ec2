"""The server that a run judges: one that already runs somewhere, or one that is started for the run."""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

VERSION = "2023-06-01"
SCRIPT = Path(__file__).with_name("script.toml")
_START_SECONDS = 280.0  # the first start fetches and converts the model; a test may take 300
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class TargetServer:
    """A server's base URL without a trailing slash, the key that it requires, if any, and the model to request."""

    url: str
    model: str
    api_key: str | None = field(default=None, repr=False)

    @property
    def credentials(self) -> dict[str, str]:
        return {"x-api-key": self.api_key} if self.api_key else {}


class UnreachableError(Exception):
    """Nothing answers at the URL, or the server lists no model to request."""


class StartError(Exception):
    """The server to judge did not start."""


def reach(url: str, *, api_key: str | None = None, model: str | None = None) -> TargetServer:
    """The server at `url`. Without `model`, its first listed model is requested.

    Raises:
        UnreachableError: the connection fails, or the server lists no model.
    """
    url = url.rstrip("/")
    answer = _get(f"{url}/v1/models", TargetServer(url, "", api_key))
    return TargetServer(url, model or _first_model(url, answer), api_key)


def description_of_model(target: TargetServer) -> dict[str, Any]:
    """The answer of GET /v1/models/{id} for the model under test; empty if the server has no such path."""
    with contextlib.suppress(ValueError, UnreachableError):  # scenarios judge whether it answers
        answer = _get(f"{target.url}/v1/models/{quote(target.model)}", target)
        described = json.loads(answer.content)
        if answer.status_code == 200 and isinstance(described, dict):
            return described
    return {}


@functools.cache
def certificates() -> ssl.SSLContext:
    """Loaded once: it takes longer than a request on loopback."""
    return ssl.create_default_context()


def _get(url: str, target: TargetServer) -> httpx.Response:
    headers = {**target.credentials, "anthropic-version": VERSION}
    try:
        return httpx.get(url, headers=headers, timeout=15, trust_env=False, verify=certificates())
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise UnreachableError(f"the target {target.url} is not reachable: {error!r}") from error


def _first_model(url: str, answer: httpx.Response) -> str:
    with contextlib.suppress(ValueError, LookupError, TypeError):
        listed = answer.json()["data"][0]["id"]
        if isinstance(listed, str):
            return listed
    raise UnreachableError(
        f"the target {url} lists no model at /v1/models (status {answer.status_code}): pass a name as --model"
    )


@contextlib.contextmanager
def reference_server(*arguments: str) -> Iterator[str]:
    """Run Pensieve's own server in a separate process on a free port, and yield its URL.

    Raises:
        StartError: as in `started`.
    """
    with started([sys.executable, "-m", "pensieve", "serve", "--port", "{port}", *arguments]) as url:
        yield url


@contextlib.contextmanager
def started(command: Sequence[str]) -> Iterator[str]:
    """Run `command`, with a free port for `{port}`, and yield the URL of the server that it starts.

    Raises:
        StartError: the server exited or did not answer in time. The message has the end of its log.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    words = [word.replace("{port}", str(port)) for word in command]
    with tempfile.TemporaryFile("w+") as log:
        try:
            server = subprocess.Popen(words, stdout=log, stderr=log, text=True)
        except OSError as error:
            raise StartError(f"the server did not start: {error}") from error
        with server:
            try:
                if not _answers(url, server):
                    log.seek(0)
                    raise StartError(f"the server did not become ready: {' '.join(words)}\n{log.read()[-3000:]}")
                yield url
            finally:
                _end(server)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _answers(url: str, server: subprocess.Popen[str]) -> bool:
    """Wait for any answer at all; False if the server exits or the time is up."""
    deadline = time.monotonic() + _START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{url}/v1/models", timeout=5, trust_env=False, verify=certificates())
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    try:
        server.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
