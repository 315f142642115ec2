"""Runs the conformance suite as a user does: in a process of its own, with its exit code and reports as the result."""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
_PLUGINS = ("--disable-plugin-autoload", "-p", "pytest_bdd.plugin", "-p", "pytest_timeout")  # others slow the start


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """`outcomes` maps each scenario's id to pytest's outcomes for its examples, `verdicts` to the suite's verdict."""

    exit_code: int
    output: str
    outcomes: Mapping[str, frozenset[str]]
    verdicts: Mapping[str, str]


def run_suite(*arguments: str, report: Path, folders: Sequence[str] = ("features",)) -> SuiteRun:
    """Run the scenarios in `folders`: fewer folders take less time to collect."""
    results, output = report.with_suffix(".json"), report.with_suffix(".txt")
    run = {
        "arguments": [*folders, *_PLUGINS, f"--junit-xml={report}", f"--results={results}", *arguments],
        "environment": _environment(),
        "output": str(output),
    }
    forks = _forks()
    assert forks.stdin is not None
    assert forks.stdout is not None
    forks.stdin.write(json.dumps(run) + "\n")
    forks.stdin.flush()
    exit_code = int(forks.stdout.readline())
    outcomes = _outcomes(report) if report.exists() else {}
    return SuiteRun(exit_code, output.read_text(encoding="utf-8"), outcomes, _verdicts(results))


@functools.cache
def _forks() -> subprocess.Popen[str]:
    """The process that runs the suite, started once. Whatever a run leaves behind ends with it."""
    command = [sys.executable, "-m", "tests.features.suite_forks", *_PLUGINS]
    forks = subprocess.Popen(
        command,
        cwd=ROOT,
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    atexit.register(os.killpg, forks.pid, signal.SIGKILL)
    return forks


def _environment() -> dict[str, str]:
    """The suite is not part of the coverage, which would slow it down."""
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}


def _outcomes(report: Path) -> dict[str, frozenset[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - our own report
        slug = case.find("properties/property[@name='id']")
        if slug is not None:
            found[slug.attrib["value"]].add(_outcome(case))
    return {slug: frozenset(outcomes) for slug, outcomes in found.items()}


def _verdicts(results: Path) -> dict[str, str]:
    if not results.exists():
        return {}
    return {row["id"]: row["verdict"] for row in json.loads(results.read_text(encoding="utf-8"))["scenarios"]}


def _outcome(case: ElementTree.Element) -> str:
    return next((kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None), "passed")
