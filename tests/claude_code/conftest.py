"""Fixtures: Claude Code, the servers that it is tested with, and the network that isolates both."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.claude_code.client import ClaudeCode
from tests.claude_code.installed import NotInstalledError, installed
from tests.claude_code.loopback_only import LoopbackOnly
from tests.claude_code.recorder import recording
from tests.support.sdk_client import serving
from tests.support.tiny_model import EMBEDDED_VOCABULARY, write_tiny_model

SCRIPT = Path(__file__).parent / "script.toml"
IS_LONG_FORM = os.environ.get("PENSIEVE_CLAUDE_CODE") == "all"
INSTALL_SECONDS = 280

SMALLEST: dict[str, Any] = {
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "num_key_value_heads": 1,
    "vocab_size": EMBEDDED_VOCABULARY,
}
"""Sizes of a tiny model that prefills Claude Code's 12,000 tokens in about two seconds on two cores."""

Serve = Callable[..., str]
Start = Callable[..., ClaudeCode]

_network_key = pytest.StashKey[bool]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash.get(_network_key, True) is False:
        terminalreporter.write_line(
            "Claude Code ran in the machine's own network, because `unshare -n` is not permitted"
        )


@pytest.fixture(scope="session")
def program() -> Path:
    try:
        return installed(INSTALL_SECONDS)
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def network(pytestconfig: pytest.Config) -> Iterator[LoopbackOnly]:
    network = LoopbackOnly()
    pytestconfig.stash[_network_key] = network.is_isolated
    yield network
    network.close()


@pytest.fixture(scope="session")
def serve(program: Path, network: LoopbackOnly) -> Iterator[Serve]:
    """Starts `pensieve serve` and returns its URL. Equal arguments share one server."""
    urls: dict[tuple[str, ...], str] = {}
    with ExitStack() as stack:

        def start(*arguments: str) -> str:
            if arguments not in urls:
                with network.entered():
                    urls[arguments] = str(stack.enter_context(serving(*arguments)).base_url).rstrip("/")
            return urls[arguments]

        yield start


@pytest.fixture(scope="session")
def scripted_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Writes a tiny model with a window of `window_tokens`, and returns its folder, which is named after the window."""

    def write(window_tokens: int) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"window-{window_tokens}"
        if not folder.exists():
            write_tiny_model(folder, max_position_embeddings=window_tokens, **SMALLEST)
        return folder

    return write


@pytest.fixture
def start(tmp_path: Path, program: Path, network: LoopbackOnly, serve: Serve) -> Iterator[Start]:
    """Creates a Claude Code with an empty home and folder, and a server with the given arguments.

    From then on, the test runs inside the isolated network.
    """
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    with ExitStack() as stack:

        def create(model: str, *arguments: str) -> ClaudeCode:
            url = serve(*arguments)
            stack.enter_context(network.entered())
            return ClaudeCode(program, home, folder, stack.enter_context(recording(url)), model)

        yield create


@pytest.fixture
def claude(start: Start, scripted_model: Callable[[int], Path]) -> ClaudeCode:
    """Claude Code with a tiny model that has a window of 131,072 tokens and follows `script.toml`."""
    return scripted(start, scripted_model(131072))


def scripted(start: Start, folder: Path) -> ClaudeCode:
    return start(folder.name, "--model", str(folder), "--script", str(SCRIPT))
