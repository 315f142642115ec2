"""Fixtures: a client in an empty home, the server that it talks to, and the network that isolates both."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from perf_gates.loads.servers import serving
from tests.claude_code.loopback_only import LoopbackOnly
from tests.claude_code.recorder import Exchange, Recorder, recording
from tests.clients import document
from tests.clients.client import Client, Session, load_clients, node
from tests.clients.conversation import script
from tests.support.packages import NotInstalledError
from tests.support.tiny_model import EMBEDDED_VOCABULARY, write_tiny_model

SMALLEST: dict[str, Any] = {
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "vocab_size": EMBEDDED_VOCABULARY,
}

Start = Callable[[Client, int], tuple[Session, Recorder]]


def pytest_sessionfinish() -> None:
    """Write docs/clients.md."""
    if os.environ.get("PENSIEVE_CLIENTS"):
        document.write()


@pytest.fixture(scope="session")
def network() -> Iterator[LoopbackOnly]:
    network = LoopbackOnly()
    yield network
    network.close()


@pytest.fixture(scope="session")
def server_url(tmp_path_factory: pytest.TempPathFactory, network: LoopbackOnly) -> Iterator[Callable[[int], str]]:
    """Starts one server for each window, in the isolated network. Its model is named after the window."""
    models = tmp_path_factory.mktemp("models")
    path = models / "script.toml"
    path.write_text(script({client.slug: client.answer_that_writes() for client in load_clients()}), encoding="utf-8")
    urls: dict[int, str] = {}
    with ExitStack() as stack:

        def start(window: int) -> str:
            if window not in urls:
                folder = write_tiny_model(models / f"window-{window}", max_position_embeddings=window, **SMALLEST)
                with network.entered():
                    arguments = ("--model", str(folder), "--script", str(path), "--cache-disk", "0")
                    urls[window] = stack.enter_context(serving(*arguments)).url
            return urls[window]

        yield start


@pytest.fixture
def start(server_url: Callable[[int], str], network: LoopbackOnly, tmp_path: Path) -> Iterator[Start]:
    """Installs and configures a client for the server with this window. The test then runs in the isolated network.

    What was sent is kept in the test's folder, in exchanges.json.
    """
    with ExitStack() as stack:

        def begin(client: Client, window: int) -> tuple[Session, Recorder]:
            try:
                installation = client.install()
                node()
            except NotInstalledError as error:
                pytest.skip(str(error))
            url = server_url(window)
            stack.enter_context(network.entered())
            recorder = stack.enter_context(recording(url))
            stack.callback(lambda: _keep(recorder.exchanges, tmp_path / "exchanges.json"))
            places = (tmp_path / "home", tmp_path / "folder")
            session = Session(client, installation, recorder.url, f"window-{window}", *places)
            session.prepare()
            return session, recorder

        yield begin


def _keep(exchanges: list[Exchange], path: Path) -> None:
    kept = [[each.path, each.status, each.request_json, each.text, dict(each.usage)] for each in exchanges]
    path.write_text(json.dumps(kept, indent=1), encoding="utf-8")
