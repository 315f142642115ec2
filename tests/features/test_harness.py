"""The suite as a command: what it refuses, and that an empty run never counts as success."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from features.harness.target.target import SCRIPT, StartError, UnreachableError, reach, reference_server
from tests.features.suite import ROOT, run_suite
from tests.features.throwaway import unused_port

_USAGE_ERROR, _NOTHING_RUN = 4, 5


def test_an_unreachable_target_is_a_usage_error(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    run = run_suite("--target", url, report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert f"the target {url} is not reachable" in run.output


def test_an_unknown_id_is_a_usage_error(tmp_path: Path) -> None:
    run = run_suite("--id", "no-such-scenario", report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert "no scenario has the id no-such-scenario" in run.output


def test_a_run_in_which_everything_is_skipped_is_a_failure(almost_a_server: str, tmp_path: Path) -> None:
    run = run_suite("--target", almost_a_server, "--id", "key-is-not-echoed", report=tmp_path / "report.xml")
    assert run.outcomes == {"key-is-not-echoed": {"skipped"}}
    assert "--api-key" in run.output, "a skip says why"
    assert "MUST: 1 disabled" in run.output, "a skip is counted"
    assert run.exit_code == _NOTHING_RUN


def test_a_failure_shows_the_expected_value_the_actual_value_and_the_exchange(
    almost_a_server: str, tmp_path: Path
) -> None:
    run = run_suite("--target", almost_a_server, "--id", "models-list-shape", report=tmp_path / "report.xml")
    assert run.exit_code == 1
    assert run.outcomes == {"models-list-shape": {"failure"}}
    assert "expected a field first_id" in run.output
    assert "actual ['data']" in run.output
    assert "> GET /v1/models" in run.output


def test_the_transcript_does_not_contain_the_key(almost_a_server: str, tmp_path: Path) -> None:
    arguments = ("--target", almost_a_server, "--id", "models-list-shape", "--api-key", "sk-very-secret")
    run = run_suite(*arguments, report=tmp_path / "report.xml")
    assert "x-api-key: …" in run.output
    assert "sk-very-secret" not in run.output


_ASYNC_STEP = """
from pytest_bdd import scenarios, then

scenarios("chapter.feature")

@then("it holds")
async def it_holds():
    assert False
"""
_CHAPTER = """
Feature: A chapter
  Scenario: A step that would never run
    Then it holds
"""


def test_a_coroutine_step_is_refused(tmp_path: Path) -> None:
    """pytest-bdd alone would let it pass, because it never awaits what the step returns."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "chapter.feature").write_text(_CHAPTER)
    (tmp_path / "test_chapter.py").write_text(_ASYNC_STEP)
    command = [sys.executable, "-m", "pytest", "-p", "features.harness.plugin", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "step it_holds is a coroutine function" in done.stdout


def test_a_reference_server_lasts_as_long_as_its_context() -> None:
    with reference_server("--script", str(SCRIPT)) as url:
        assert reach(url).model == "scripted"
    with pytest.raises(UnreachableError):
        reach(url)


def test_a_reference_server_that_does_not_start_says_why() -> None:
    with pytest.raises(StartError, match="--no-such-option"), reference_server("--no-such-option"):
        pass
