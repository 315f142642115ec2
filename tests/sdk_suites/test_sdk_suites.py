"""The SDKs' own tests pass against this server, except for the ones that `suites.toml` names with a reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from perf_gates.loads.servers import serving
from tests.sdk_suites.suites import ExpectedFailure, Result, Suite, load_suites
from tests.support.packages import NotInstalledError
from tests.support.tiny_model import write_tiny_model

SUITES = load_suites()
NAMES = ("model_id", "gpt-6-astra", "gpt-3.5-turbo-instruct")
"""The models that the suites ask for; every claude-… name reaches the first."""


@pytest.fixture(scope="module")
def server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a tiny model of each name, which answers at once: the real prompts, sampler and parser."""
    models = tmp_path_factory.mktemp("models")
    first, *others = [str(write_tiny_model(models / name, max_position_embeddings=4096)) for name in NAMES]
    script = models / "script.toml"
    script.write_text('[[reply]]\ntext = "Hello."\n', encoding="utf-8")
    allowed = [argument for other in others for argument in ("--allow-model", other)]
    with serving("--model", first, *allowed, "--script", str(script), "--cache-disk", "0") as server:
        yield server.url


@pytest.mark.timeout(4000)
@pytest.mark.parametrize("package", SUITES)
def test_the_sdks_own_tests_pass(package: str, server_url: str, tmp_path: Path) -> None:
    suite = SUITES[package]
    try:
        results = suite.run(server_url, tmp_path / "report.xml")
    except NotInstalledError as error:
        pytest.skip(str(error))
    assert suite.surprises(results) == []


def suite_with(*exceptions: ExpectedFailure) -> Suite:
    return Suite("sdk", "1", (), "", "", (), exceptions)


def test_an_exception_that_passes_fails_the_run() -> None:
    expected = ExpectedFailure("*delete*", "405", "models are deleted on the machine itself")
    assert suite_with(expected).surprises([Result("test_delete[strict]", "Error code: 405")]) == []
    assert "not true any more" in str(suite_with(expected).surprises([Result("test_delete[strict]", "")]))
    assert "not true any more" in str(suite_with(expected).surprises([]))


def test_a_failure_without_an_exception_fails_the_run() -> None:
    expected = ExpectedFailure("*delete*", "405", "models are deleted on the machine itself")
    deleted, listed = Result("test_delete[strict]", "Error code: 405"), Result("test_list[strict]", "Error code: 500")
    assert suite_with(expected).surprises([deleted, listed]) == ["test_list[strict]: Error code: 500"]
