"""Runs the server on a thread of this process, with its real composition root and real sockets."""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pensieve.cli.serve.command import run
from pensieve.cli.serve.listener import bind
from pensieve.cli.settings.read import read_settings
from pensieve.cli.settings.settings import Settings
from pensieve.cli.wiring import ServerComponents

_HUNG_SECONDS: Final = 600
"""A server that takes longer to start or stop is considered hung."""


def settings_for(**flags: str) -> Settings:
    """Settings for a server with `--checked` on a free port. Environment variables are ignored."""
    return read_settings(argparse.Namespace(port="0", checked="true", **flags), environment={})


@contextmanager
def running_server(settings: Settings, components: ServerComponents) -> Iterator[str]:
    """Yield the URL of a server built from `components`, and shut it down as a signal would."""
    listener = bind(settings.host, settings.port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    loop = asyncio.new_event_loop()
    stop, is_ready, failures = asyncio.Event(), threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            loop.run_until_complete(
                run(settings, components, listener, stop=stop, ready=lambda line: is_ready.set())  # noqa: ARG005
            )
        except BaseException as error:
            failures.append(error)
            is_ready.set()
        finally:
            loop.close()

    thread = threading.Thread(target=work, name="server")
    thread.start()
    assert is_ready.wait(_HUNG_SECONDS), "the server did not become ready"
    try:
        if not failures:
            yield url
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(_HUNG_SECONDS)
        listener.close()
    if failures:
        raise failures[0]
