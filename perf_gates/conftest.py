"""What the gates are measured on: the embedded model, served by `pensieve serve`, and loaded here as well."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil
import pytest

from contracts.gates import Profile
from pensieve.metal.device import device_info
from pensieve.models.embedded import SMOLLM2
from pensieve.models.load import LoadedModel, load
from pensieve.models.progress import ConsoleProgress
from pensieve.models.sources import ModelFolder, resolve
from perf_gates.report import Report

_REPORT = pytest.StashKey[Report]()


def pytest_configure(config: pytest.Config) -> None:
    profile = {"cpu": Profile.CPU, "cuda": Profile.CUDA}.get(device_info().backend, Profile.M1_16GB)
    config.stash[_REPORT] = Report(profile)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    report = config.stash[_REPORT]
    terminalreporter.section(f"gates on {device_info().say()}, profile {report.profile.value}")
    terminalreporter.write_line(report.as_markdown())


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    return request.config.stash[_REPORT]


@pytest.fixture(scope="session")
def folder() -> ModelFolder:
    return resolve(SMOLLM2.name, progress=ConsoleProgress())


@pytest.fixture(scope="session")
def bare_model(folder: ModelFolder) -> LoadedModel:
    """The model without a server, on this thread."""
    return load(folder)


class Served:
    """A running `pensieve serve` of its own process."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self._process = psutil.Process(process.pid)
        self.url = url

    def resident_bytes(self) -> int:
        return int(self._process.memory_info().rss)

    def peak_resident_bytes(self) -> int:
        """The kernel's high-water mark where it keeps one per process, else what is resident now."""
        status = f"/proc/{self._process.pid}/status"
        try:
            with open(status, encoding="utf-8") as file:
                found = re.search(r"VmHWM:\s+(\d+) kB", file.read())
        except FileNotFoundError:
            found = None
        return int(found[1]) * 1024 if found else self.resident_bytes()


@pytest.fixture(scope="session")
def served(folder: ModelFolder) -> Iterator[Served]:
    """Keeps no prompts, since the same ones are timed again and again."""
    with serving("--model", str(folder.path), "--cache-memory", "0", "--cache-disk", "0") as running:
        yield running


@contextmanager
def serving(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Served]:
    command = [sys.executable, "-m", "pensieve", "serve", "--port", "0", *arguments]
    variables = {**os.environ, **(environment or {})}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found is not None, f"expected a line with the server's URL, actual {line!r}"
        try:
            yield Served(process, found[0])
        finally:
            process.terminate()
            process.wait(30)
