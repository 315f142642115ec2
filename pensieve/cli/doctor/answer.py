"""A real answer: a server with the embedded model, started as any other, and one request over its socket."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from pensieve.cli.doctor.check import CheckResult, Subject, ok, problem, skipped
from pensieve.cli.settings.settings_file import FILE_VARIABLE
from pensieve.core.errors import PensieveError
from pensieve.models.library.embedded import SMOLLM2, embedded_folder

_QUESTION, _ANSWER = "What is the capital of France?", "Paris"
_SERVING: Final = re.compile(r"pensieve: serving .+ at (http://\S+) \(")
_MAX_SECONDS: Final = 300.0
"""For the start and the answer each: a machine that swaps is slow, and one that hangs never gets there."""
_STOP_SECONDS: Final = 30.0
_REPORT_IT: Final = "the server's own words are above; report them with the output of `pensieve doctor --json`"


class _NoAnswerError(Exception):
    """The server did not start, or did not answer. The message says which."""


def answer(subject: Subject) -> CheckResult:
    if subject.quick:
        return skipped("left out by --quick")
    if subject.device.error:
        return skipped("MLX does not work here")
    try:
        embedded_folder(subject.progress)
        text, seconds = _ask(subject.environment)
    except PensieveError as error:
        return problem(str(error), "connect to the internet once, or serve a model that is on this machine")
    except _NoAnswerError as error:
        return problem(f"{SMOLLM2.name} {error}", _REPORT_IT)
    if _ANSWER not in text:
        return problem(
            f"{SMOLLM2.name} answers {_QUESTION!r} with {text[:80]!r}",
            "the device computes wrong numbers: update its driver and MLX, or set PENSIEVE_BLAS=bundled on a CPU",
        )
    return ok(f"{SMOLLM2.name} answers {_QUESTION!r} with {_ANSWER} after {seconds:.1f} s")


def _ask(environment: Mapping[str, str]) -> tuple[str, float]:
    with _server(environment) as url:
        parts = urlsplit(url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_MAX_SECONDS)
        started = time.monotonic()
        try:
            connection.request("POST", "/v1/messages", json.dumps(_request()), {"content-type": "application/json"})
            reply = connection.getresponse()
            body = json.loads(reply.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _NoAnswerError(f"did not answer: {str(error) or type(error).__name__}") from error
        finally:
            connection.close()
    if reply.status != http.client.OK:
        raise _NoAnswerError(f"answered with status {reply.status}: {body.get('error', {}).get('message', '')}")
    return "".join(block.get("text", "") for block in body["content"]), time.monotonic() - started


def _request() -> dict[str, Any]:
    messages = [{"role": "user", "content": _QUESTION}]
    return {"model": SMOLLM2.name, "max_tokens": 32, "temperature": 0, "messages": messages}


@contextmanager
def _server(environment: Mapping[str, str]) -> Iterator[str]:
    """The URL of a server with default settings, which ends with this block, or with this process."""
    arguments = ("--host", "127.0.0.1", "--port", "0", "--model", SMOLLM2.name, "--cache-disk", "0", "--no-supervise")
    command = (sys.executable, "-P", "-m", "pensieve.cli.process.parent_watch", str(os.getpid()), "serve", *arguments)
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            env=_without_settings(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        limit = threading.Timer(_MAX_SECONDS, process.kill)
        limit.start()
        try:
            yield _url_of(process, errors)
        finally:
            limit.cancel()
            _stop(process)


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The user's settings are examined on their own; here only the installation is."""
    kept = ("PENSIEVE_HOME", "PENSIEVE_BLAS")
    others = {name: value for name, value in environment.items() if name in kept or not name.startswith("PENSIEVE_")}
    return {**others, FILE_VARIABLE: os.devnull}


def _url_of(process: subprocess.Popen[str], errors: Any) -> str:
    """
    Raises:
        _NoAnswerError: it ended before it was ready; its errors have been printed.
    """
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    for line in process.stdout:
        if found := _SERVING.match(line):
            return found[1]
    status = process.wait()
    errors.seek(0)
    print(errors.read(), file=sys.stderr, end="")
    raise _NoAnswerError(f"could not be served (exit status {status})")


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None  # noqa: S101
    process.stdout.close()
