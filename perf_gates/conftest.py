"""What the gates are measured on: a model, served by `pensieve serve`, and loaded here as well."""

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
    group.addoption("--profile", choices=CHOICES, help="the machine whose gates decide (default: what this one is)")
    names = ", ".join(SHAPES)
    group.addoption("--shape", default=EMBEDDED, metavar="S", help=f"random weights, as {names}; or a model's folder")
    group.addoption("--soak", type=float, default=60.0, metavar="SECONDS", help="how long the server is under load")
    group.addoption("--soak-requests", type=int, metavar="N", help="end the load after N requests instead")


def pytest_configure(config: pytest.Config) -> None:
    chosen = config.getoption("--profile")
    profile = Profile(chosen) if chosen else profile_for(device_info())
    shape = SHAPES.get(config.getoption("--shape"))
    config.stash[_REPORT] = Report(profile, model_size=shape.size if shape else None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    report = config.stash[_REPORT]
    if not report.rows and not report.notes:
        return
    device, shape = device_info().describe(), config.getoption("--shape")
    last = last_run.last_figures(last_run.FOLDER, profile=report.profile.value, device=device, shape=shape)
    table = report.as_markdown(last)
    kept = last_run.keep_run(last_run.FOLDER, report.as_json(), table, device=device, shape=shape)
    terminalreporter.section(f"gates on {device}, profile {report.profile.value}, model {shape}")
    terminalreporter.write_line(table)
    terminalreporter.write_line(f"\nWritten to {kept} and beside it as Markdown.")


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    return request.config.stash[_REPORT]


@pytest.fixture(scope="session")
def folder(request: pytest.FixtureRequest) -> ModelFolder:
    asked = request.config.getoption("--shape")
    name = str(shape_folder(SHAPES[asked])) if asked in SHAPES else asked
    found = resolve(SMOLLM2.name if asked == EMBEDDED else name, progress=ConsoleProgress())
    request.config.stash[_REPORT].limit_tokens_per_second = _memory_limit(found)
    return found


def _memory_limit(folder: ModelFolder) -> float:
    """What the device's memory allows one stream of the model at its beginning, in tokens/s."""
    config = json.loads((folder.path / "config.json").read_text(encoding="utf-8"))
    dense = device_info().backend == "cpu"
    rates, _ = machine_rates(lambda _: None)
    return limit_tokens_per_second(
        footprint(config, folder_headers(folder.id, folder.path), dense=dense).token_cost, rates
    )


@pytest.fixture(scope="session")
def bare_model(folder: ModelFolder) -> LoadedModel:
    """The model without a server, on this thread."""
    return load(folder)


@pytest.fixture(scope="session")
def server(folder: ModelFolder) -> Iterator[ServerProcess]:
    """Keeps no prompts, since the same ones are timed again and again."""
    with serving("--model", str(folder.path), "--cache-memory", "0", "--cache-disk", "0") as running:
        yield running
