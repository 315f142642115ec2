"""Claude Code, the servers that it is tried against, and the network that both are shut in."""

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
from tests.support.tiny_model import write_tiny_model

SCRIPT = Path(__file__).parent / "script.toml"
IS_LONG_FORM = os.environ.get("PENSIEVE_CLAUDE_CODE") == "all"
INSTALL_SECONDS = 280 if IS_LONG_FORM else 60

SMALLEST: dict[str, Any] = {"num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1}
"""Of a tiny model: reads Claude Code's 12k tokens in about two seconds on two cores."""

Serve = Callable[..., str]
Start = Callable[..., ClaudeCode]

_network_key = pytest.StashKey[bool]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash.get(_network_key, True) is False:
        terminalreporter.write_line("Claude Code ran in the machine's own network: `unshare -n` is not allowed here")


@pytest.fixture(scope="session")
def program() -> Path:
    try:
        return installed(INSTALL_SECONDS)
    except NotInstalledError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def network(pytestconfig: pytest.Config) -> Iterator[LoopbackOnly]:
    network = LoopbackOnly()
    pytestconfig.stash[_network_key] = network.is_closed_off
    yield network
    network.close()


@pytest.fixture(scope="session")
def serve(program: Path, network: LoopbackOnly) -> Iterator[Serve]:
    """Starts `pensieve serve` with these arguments, once for equal ones: the server's URL."""
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
    """Writes a model that reads fast, with a window of so many tokens: its folder, which is named for it."""

    def write(window_tokens: int) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"window-{window_tokens}"
        if not folder.exists():
            write_tiny_model(folder, max_position_embeddings=window_tokens, **SMALLEST)
        return folder

    return write


@pytest.fixture
def start(tmp_path: Path, program: Path, network: LoopbackOnly, serve: Serve) -> Iterator[Start]:
    """A new Claude Code, with a home and a folder of its own, in front of a server of these arguments.

    The test is inside the closed network from here on.
    """
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    with ExitStack() as stack:

        def started(model: str, *arguments: str) -> ClaudeCode:
            url = serve(*arguments)
            stack.enter_context(network.entered())
            return ClaudeCode(program, home, folder, stack.enter_context(recording(url)), model)

        yield started


@pytest.fixture
def claude(start: Start, scripted_model: Callable[[int], Path]) -> ClaudeCode:
    """Claude Code before a tiny model with a window of 131,072 tokens that says what `script.toml` says."""
    return scripted(start, scripted_model(131072))


def scripted(start: Start, folder: Path) -> ClaudeCode:
    return start(folder.name, "--model", str(folder), "--script", str(SCRIPT))
