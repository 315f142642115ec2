"""Verdicts, exit codes and the selection of scenarios, on the real command line against throwaway servers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.features.suite import ROOT, run_suite
from tests.features.throwaway import ONE_MODEL, answering

_OK, _FAILED, _USAGE_ERROR, _NOTHING_RUN = 0, 1, 4, 5
_FAILS = "models-list-shape"


@pytest.fixture
def target_file(almost_a_server: str, tmp_path: Path) -> Path:
    """A server that fails `models-list-shape`."""
    path = tmp_path / "target.toml"
    path.write_text(f'name = "Almost a server"\ncapabilities = "all"\n[server]\nurl = "{almost_a_server}"\n')
    return path


def add(path: Path, text: str) -> str:
    path.write_text(path.read_text() + text)
    return str(path)


def expected(slug: str) -> str:
    return f'[[expected_failure]]\nid = "{slug}"\nreason = "it has another format"\n'


def test_a_failure_fails_the_run(target_file: Path, tmp_path: Path) -> None:
    run = run_suite("--target", str(target_file), "--id", _FAILS, report=tmp_path / "report.xml")
    assert (run.verdicts, run.exit_code) == ({_FAILS: "fail"}, _FAILED)


def test_a_known_failure_does_not_fail_the_run(target_file: Path, tmp_path: Path) -> None:
    target = add(target_file, expected(_FAILS))
    run = run_suite("--target", target, "--id", _FAILS, report=tmp_path / "report.xml")
    assert (run.verdicts, run.exit_code) == ({_FAILS: "expected failure"}, _OK)
    assert "MUST: 1 expected failure" in run.output


def test_a_known_failure_that_passes_fails_the_run(tmp_path: Path) -> None:
    path = tmp_path / "target.toml"
    page = {"data": [{"id": "nothing"}], "first_id": "nothing", "last_id": "nothing", "has_more": False}
    with answering({"/v1/models": page}) as url:
        path.write_text(f'name = "A server"\ncapabilities = "all"\n[server]\nurl = "{url}"\n')
        target = add(path, expected("models-list-holds-the-model"))
        run = run_suite("--target", target, "--id", "models-list-holds-the-model", report=tmp_path / "report.xml")
    assert (run.verdicts, run.exit_code) == ({"models-list-holds-the-model": "unexpected pass"}, _FAILED)
    assert f"models-list-holds-the-model passes: delete its [[expected_failure]] from {path}" in run.output


def test_a_known_failure_does_not_excuse_another_scenario(target_file: Path, tmp_path: Path) -> None:
    target = add(target_file, expected("reply-shape"))
    run = run_suite("--target", target, "--id", _FAILS, report=tmp_path / "report.xml")
    assert (run.verdicts, run.exit_code) == ({_FAILS: "fail"}, _FAILED)


def test_an_undeclared_capability_is_unsupported(almost_a_server: str, tmp_path: Path) -> None:
    arguments = ("--target", almost_a_server, "--without", "models", "--id", _FAILS)
    run = run_suite(*arguments, report=tmp_path / "report.xml")
    assert (run.verdicts, run.exit_code) == ({_FAILS: "unsupported"}, _NOTHING_RUN)
    assert "models: not declared by the target" in run.output


def test_only_declared_capabilities_are_judged(almost_a_server: str, tmp_path: Path) -> None:
    arguments = ("--target", almost_a_server, "--capabilities", "health", "--id", _FAILS, "--id", "health-tells-memory")
    run = run_suite(*arguments, report=tmp_path / "report.xml")
    assert run.verdicts == {_FAILS: "unsupported", "health-tells-memory": "fail"}


def test_a_switched_off_capability_is_disabled_with_its_reason(target_file: Path, tmp_path: Path) -> None:
    target = add(target_file, '[disabled]\nmodels = "it is being rebuilt"\n')
    run = run_suite("--target", target, "--id", _FAILS, report=tmp_path / "report.xml")
    assert (run.verdicts, run.exit_code) == ({_FAILS: "disabled"}, _NOTHING_RUN)
    assert "it is being rebuilt" in run.output


def test_a_dropped_connection_is_the_servers_failure(almost_a_server: str, tmp_path: Path) -> None:
    run = run_suite("--target", almost_a_server, "--id", "reply-shape", report=tmp_path / "report.xml")
    assert (run.verdicts, run.exit_code) == ({"reply-shape": "fail"}, _FAILED)
    assert "expected an answer to POST /v1/messages" in run.output


def test_a_missing_field_is_the_servers_failure(tmp_path: Path) -> None:
    with answering({**ONE_MODEL, "/v1/messages": {"type": "message"}}) as url:
        run = run_suite("--target", url, "--id", "reply-content-is-text", report=tmp_path / "report.xml")
    assert run.verdicts == {"reply-content-is-text": "fail"}
    assert "expected a field content" in run.output


_BROKEN = """
from pytest_bdd import scenarios, then
scenarios("chapter.feature")

@then("the suite breaks")
def the_suite_breaks():
    raise ZeroDivisionError("by itself")
"""
_CHAPTER = """
@cap:models @MUST @W3
Feature: A chapter
  Rule: A rule
    @id:suite-that-breaks
    Scenario: A step that is wrong
      Then the suite breaks
"""


def test_a_suite_that_breaks_is_an_error_rather_than_the_servers_failure(almost_a_server: str, tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "chapter.feature").write_text(_CHAPTER)
    (tmp_path / "test_chapter.py").write_text(_BROKEN)
    plain = ("-p", "features.harness.plugin", "-p", "no:cacheprovider", "--results", str(tmp_path / "results.json"))
    command = [sys.executable, "-m", "pytest", *plain, "--target", almost_a_server, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == _FAILED, done.stdout + done.stderr
    [scenario] = json.loads((tmp_path / "results.json").read_text())["scenarios"]
    assert (scenario["verdict"], scenario["reason"]) == ("error", "ZeroDivisionError: by itself")
    assert done.returncode == _FAILED


def test_an_outlines_examples_have_one_verdict(almost_a_server: str, tmp_path: Path) -> None:
    run = run_suite("--target", almost_a_server, "--id", "models-limit-is-checked", report=tmp_path / "report.xml")
    assert run.verdicts == {"models-limit-is-checked": "fail"}
    [scenario] = json.loads((tmp_path / "report.json").read_text())["scenarios"]
    assert len(scenario["examples"]) == 4


@pytest.mark.parametrize(
    ("arguments", "marker", "without"),
    [
        (("--level", "SHOULD"), 'name="level" value="SHOULD"', 'value="MUST"'),
        (("--capability", "health"), 'name="capability" value="health"', 'value="auth"'),
        (("--spec", "W21"), 'name="spec" value="W21"', 'value="W5"'),
    ],
)
def test_scenarios_are_selected_by_level_capability_and_row(
    arguments: tuple[str, str], marker: str, without: str, target_file: Path, tmp_path: Path
) -> None:
    """Nothing is declared, so that every selected scenario is unsupported and takes no time."""
    report = tmp_path / "report.xml"
    run = run_suite("--target", str(target_file), "--capabilities", "", *arguments, report=report)
    cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - our own report
    assert cases
    texts = [ElementTree.tostring(case, encoding="unicode") for case in cases]
    assert all(marker in text and without not in text for text in texts)
    assert run.exit_code == _NOTHING_RUN


def test_a_row_without_scenarios_is_a_usage_error(almost_a_server: str, tmp_path: Path) -> None:
    run = run_suite("--target", almost_a_server, "--spec", "Z99", report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert "no scenario has the row of the specification Z99" in run.output


def test_a_selection_without_scenarios_is_a_failure(almost_a_server: str, tmp_path: Path) -> None:
    arguments = ("--target", almost_a_server, "--level", "SHOULD", "--id", _FAILS)
    assert run_suite(*arguments, report=tmp_path / "report.xml").exit_code == _NOTHING_RUN


_SERVER = """
import sys
from http.server import HTTPServer
from tests.features.throwaway import ONE_MODEL, handler
HTTPServer(("127.0.0.1", int(sys.argv[1])), handler(ONE_MODEL)).serve_forever()
"""


@pytest.fixture
def two_processes() -> tuple[str, ...]:
    pytest.importorskip("xdist")
    return ("-p", "xdist", "-n", "2", "--dist", "worksteal")


def test_two_processes_report_like_one(two_processes: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "target.toml"
    command = json.dumps(["{python}", "-c", _SERVER, "{port}"])
    path.write_text(f'name = "A server"\ncapabilities = "all"\n[server]\ncommand = {command}\n{expected(_FAILS)}')
    arguments = ("--target", str(path), "--id", _FAILS, "--id", "models-limit-is-checked", "--id", "reply-shape")
    one = run_suite(*arguments, report=tmp_path / "one.xml")
    two = run_suite(*arguments, *two_processes, report=tmp_path / "two.xml")
    assert (two.exit_code, list(two.verdicts.items())) == (one.exit_code, list(one.verdicts.items()))
    assert set(one.verdicts.values()) == {"expected failure", "fail"}
    assert two.output.count("judged by suite") == 1


def test_two_processes_do_not_share_a_server_that_runs_already(
    two_processes: tuple[str, ...], almost_a_server: str, tmp_path: Path
) -> None:
    run = run_suite("--target", almost_a_server, *two_processes, report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert f"{almost_a_server} runs already: its scenarios would disturb each other" in run.output


def test_two_processes_refuse_an_unknown_id(two_processes: tuple[str, ...], tmp_path: Path) -> None:
    run = run_suite("--id", "no-such-scenario", *two_processes, report=tmp_path / "report.xml")
    assert run.exit_code == _USAGE_ERROR
    assert "no scenario has the id no-such-scenario" in run.output
