"""The reference server in this process: its real composition root, on a thread and real sockets of its own."""

from __future__ import annotations

import argparse
import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from pensieve.cli.serve.command import bind, run
from pensieve.cli.settings.settings import Settings
from pensieve.cli.settings.table import read_settings
from pensieve.cli.wiring import ServerComponents, scripted_components


def settings_for(**given: str) -> Settings:
    """The settings of a server on a free port, started with these flags and nothing of the environment."""
    return read_settings(argparse.Namespace(port="0", checked="true", **given), environment={})


@contextmanager
def running_server(settings: Settings, parts: ServerComponents) -> Iterator[str]:
    """The URL of a server that has `parts`; stopped as a signal would stop it when the block ends."""
    listener = bind(settings.host, settings.port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    loop = asyncio.new_event_loop()
    stop, is_ready, failures = asyncio.Event(), threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            loop.run_until_complete(
                run(settings, parts, listener, stop=stop, ready=lambda line: is_ready.set())  # noqa: ARG005
            )
        except BaseException as error:
            failures.append(error)
            is_ready.set()
        finally:
            loop.close()

    thread = threading.Thread(target=work, name="server")
    thread.start()
    assert is_ready.wait(60), "the server did not become ready"
    try:
        if not failures:
            yield url
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join(30)
        listener.close()
    if failures:
        raise failures[0]


@contextmanager
def scripted_server(folder: Path, script: str = "", **given: str) -> Iterator[httpx.Client]:
    """A client of a server that plays `script`, under the contracts of `--checked`."""
    path = folder / "script.toml"
    path.write_text(script, encoding="utf-8")
    with (
        running_server(settings_for(**given), scripted_components(path)) as url,
        httpx.Client(base_url=url, timeout=20) as client,
    ):
        yield client


def ask(text: str = "Hello", **fields: object) -> Mapping[str, object]:
    """The body of a Messages request."""
    return {"model": "scripted", "max_tokens": 64, "messages": [{"role": "user", "content": text}], **fields}
