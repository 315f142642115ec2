"""A client of `clients.toml`: installed from its registry, configured, and run against one server."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from tests.clients.conversation import CLOSE, LOG, OPEN, SHELL_COMMAND, WRITTEN, call, handbook, write_prompt
from tests.support.packages import node_modules_with, python_with

FOLDER = Path(__file__).parent
INSTALLED = FOLDER / ".installed"
PROGRAMS = FOLDER / "programs"
NODE = "node@24"
TURN_SECONDS = 240


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended. `status` is None if it did not end by itself in time."""

    status: int | None
    output: str
    errors: str


@dataclass(frozen=True, slots=True)
class Client:
    """See `clients.toml` for the meaning of the fields."""

    name: str
    package: str
    tool: str
    setup: tuple[tuple[str, ...], ...] = ()
    answer: str = ""
    python: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    isolation: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    advice: str = ""
    appends: bool = True
    note: str = ""

    @property
    def slug(self) -> str:
        return re.sub(r"\W+", "-", self.name).strip("-").lower()

    def answer_that_writes(self) -> str:
        """The server's answer to the prompt that lets the client write a file: a call of its tool, or an edit."""
        if self.answer:
            return self.answer.replace("{written}", WRITTEN).replace("{log}", LOG)
        arguments = {key: SHELL_COMMAND if value == "{command}" else value for key, value in self.arguments.items()}
        return call(self.tool, arguments or {"text": LOG})

    def install(self) -> Installation:
        """
        Raises:
            NotInstalledError: a registry cannot be reached.
        """
        folder = INSTALLED / re.sub(r"\W+", "-", (self.python or self.npm)[0]).strip("-")
        if self.python:
            python = python_with(folder, *self.python, day=_today())
            version = subprocess.run(
                [python, "-c", f"import importlib.metadata as m; print(m.version('{self.package}'))"],
                capture_output=True,
                text=True,
                check=True,
            )
            return Installation(python.parent, version.stdout.strip())
        newest = [f"{name}@latest" for name in self.npm]
        modules = node_modules_with(folder, *newest, day=_today())
        manifest = json.loads((modules / self.package / "package.json").read_text(encoding="utf-8"))
        return Installation(modules / ".bin", manifest["version"])


@dataclass(frozen=True, slots=True)
class Installation:
    bin: Path
    version: str


@dataclass(frozen=True, slots=True)
class Session:
    """One client with an empty home and an empty folder, configured for the server at `url`."""

    client: Client
    installation: Installation
    url: str
    model: str
    home: Path
    folder: Path

    def prepare(self) -> None:
        for place in (self.home, self.folder):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
        (self.folder / "log.txt").touch()  # a prompt that lists the folder stays the same when the client writes it
        for name, text in self.client.files.items():
            path = Path(self._filled(name))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._filled(text), encoding="utf-8")
        for command in self.client.setup:
            ended = self.run(command)
            assert ended.status == 0, ended

    def run(self, command: Sequence[str], prompt: str = "") -> Ended:
        """Run a command of the client. After `TURN_SECONDS` it and the processes that it started are killed."""
        filled = [self._filled(part).replace("{prompt}", prompt) for part in command]
        with subprocess.Popen(
            filled,
            env=self._environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=TURN_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output, errors = process.communicate()
                return Ended(None, output, errors)
        return Ended(process.returncode, output, errors)

    def log(self) -> str:
        path = self.folder / "log.txt"
        return path.read_text(encoding="utf-8").strip() if path.exists() else ""

    def _environment(self) -> dict[str, str]:
        """The whole environment. Only PATH comes from this process."""
        fixed = {
            "HOME": str(self.home),
            "PATH": f"{self.installation.bin}:{node().parent}:{os.environ['PATH']}",
            "PENSIEVE_URL": self.url,
            "PENSIEVE_MODEL": self.model,
            "HANDBOOK": handbook(self.client.slug),
            "PROMPT_OPEN": OPEN,
            "PROMPT_WRITE": write_prompt(self.client.slug),
            "PROMPT_CLOSE": CLOSE,
            "SPARE_PORT": str(_spare_port()),
            "NODE_MODULES": str(self.installation.bin.parent),
            "DO_NOT_TRACK": "1",
        }
        own = {**self.client.environment, **self.client.isolation}
        return fixed | {name: self._filled(value) for name, value in own.items()}

    def _filled(self, text: str) -> str:
        values = {
            "url": self.url,
            "model": self.model,
            "bin": self.installation.bin,
            "node": node(),
            "home": self.home,
            "folder": self.folder,
            "programs": PROGRAMS,
            "handbook": handbook(self.client.slug),
        }
        return re.sub(r"\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), text)


def node() -> Path:
    """Node.js from npm, because some clients need a newer one than the machine's."""
    return node_modules_with(INSTALLED / "node", NODE) / ".bin/node"


def load_clients() -> list[Client]:
    document = tomllib.loads((FOLDER / "clients.toml").read_text(encoding="utf-8"))
    return [_client(table) for table in document["client"]]


def _client(table: Mapping[str, Any]) -> Client:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Client(**fields)


def _today() -> str:
    """The newest versions are installed once a day."""
    return date.today().isoformat()


def _spare_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
