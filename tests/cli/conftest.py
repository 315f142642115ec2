"""Fixtures for tests of the commands. They import what they need, because some of these tests are pure."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

# ruff: noqa: PLC0415

if TYPE_CHECKING:
    from tests.cli.launch.claude_user import User
    from tests.cli.models.models_command import ModelsCommand
    from tests.models.hub.hub_server import SmallHub


@pytest.fixture
def user(tmp_path: Path) -> User:
    from tests.cli.launch.claude_user import User

    return User(tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model

    folder = write_byte_tokenizer(tmp_path_factory.mktemp("models") / "tiny")
    write_tiny_model(folder, tokenizer_folder=folder, vocab_size=259)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Tiny\n")
    return folder


@pytest.fixture(scope="module")
def speed() -> Path:
    """The measured speed of this machine, which takes ten seconds to measure."""
    from pensieve.models.estimate.machine_speed import machine_rates
    from pensieve.models.files.home import home

    machine_rates(print)
    return home() / "speed.json"


@pytest.fixture
def hub(tiny: Path, speed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """A test hub, with an empty PENSIEVE_HOME and hub cache."""
    from tests.cli.models.models_command import PINNED, UNPINNED
    from tests.models.hub.hub_server import files_of, hub_of

    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    if speed.exists():
        shutil.copy(speed, tmp_path / "home")
    repos = {"org/tiny": files_of(tiny), PINNED.name: {**files_of(tiny), "later.json": b"{}"}}
    with hub_of({**repos, UNPINNED.name: files_of(tiny)}, tmp_path, monkeypatch) as hub:
        hub.repos[PINNED.name].commits[str(PINNED.revision)] = files_of(tiny)
        yield hub


@pytest.fixture
def models(capsys: pytest.CaptureFixture[str]) -> ModelsCommand:
    from tests.cli.models.models_command import ModelsCommand

    return ModelsCommand(capsys)
