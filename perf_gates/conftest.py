"""Fixtures and options of the gates: one model, both served by `pensieve serve` and loaded in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from contracts.gates import Profile
from pensieve.core.fit.roofline import limit_tokens_per_second
from pensieve.device.device import device_info
from pensieve.models.estimate.footprint import footprint
from pensieve.models.estimate.machine_speed import machine_rates
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import LoadedModel, load
from pensieve.models.safetensors.headers import folder_headers
from perf_gates.loads.servers import ServerProcess, serving
from perf_gates.loads.shapes import SHAPES, shape_folder
from perf_gates.reporting import last_run
from perf_gates.reporting.profiles import CHOICES, profile_for
from perf_gates.reporting.report import Report

_REPORT = pytest.StashKey[Report]()
EMBEDDED = "embedded"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gates")
    group.addoption("--profile", choices=CHOICES, help="the machine whose gates apply (default: this one)")
    names = ", ".join(SHAPES)
    group.addoption(
        "--shape", default=EMBEDDED, metavar="S", help=f"a model of random weights ({names}) or a model folder"
    )
    group.addoption("--soak", type=float, default=60.0, metavar="SECONDS", help="how long the stability test runs")
    group.addoption("--soak-requests", type=int, metavar="N", help="stop the stability test after N requests instead")


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--profile")
    profile = Profile(name) if name else profile_for(device_info())
    shape = SHAPES.get(config.getoption("--shape"))
    config.stash[_REPORT] = Report(profile, model_size=shape.size if shape else None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    report = config.stash[_REPORT]
    if not report.rows and not report.notes:
        return
    device, shape = device_info().describe(), config.getoption("--shape")
    last = last_run.last_figures(last_run.FOLDER, profile=report.profile.value, device=device, shape=shape)
    table = report.as_markdown(last)
    path = last_run.save_run(last_run.FOLDER, report.as_json(), table, device=device, shape=shape)
    terminalreporter.section(f"gates on {device}, profile {report.profile.value}, model {shape}")
    terminalreporter.write_line(table)
    terminalreporter.write_line(f"\nSaved as {path}, and as Markdown beside it.")


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    return request.config.stash[_REPORT]


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest) -> ModelFolder:
    shape = request.config.getoption("--shape")
    name = str(shape_folder(SHAPES[shape])) if shape in SHAPES else shape
    model_folder = resolve(SMOLLM2.name if shape == EMBEDDED else name, progress=ConsoleProgress())
    request.config.stash[_REPORT].limit_tokens_per_second = _bandwidth_limit(model_folder)
    return model_folder


def _bandwidth_limit(folder: ModelFolder) -> float:
    """Tokens/s that the memory bandwidth allows a single stream with an empty context."""
    config = json.loads((folder.path / "config.json").read_text(encoding="utf-8"))
    dense = device_info().backend == "cpu"
    rates, _ = machine_rates(lambda _: None)
    return limit_tokens_per_second(
        footprint(config, folder_headers(folder.id, folder.path), dense=dense).token_cost, rates
    )


@pytest.fixture(scope="session")
def bare_model(folder: ModelFolder) -> LoadedModel:
    """The model loaded on this thread, without a server."""
    return load(folder)


@pytest.fixture(scope="session")
def server(folder: ModelFolder) -> Iterator[ServerProcess]:
    """Runs without a prompt cache, because tests send the same prompts several times."""
    with serving("--model", str(folder.path), "--cache-memory", "0", "--cache-disk", "0") as process:
        yield process
