"""Runs the conformance suite as a user does: in a separate process, with its exit code and reports as the result."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
_BYTECODE = tempfile.TemporaryDirectory(prefix="suite-bytecode-")
atexit.register(_BYTECODE.cleanup)


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """`outcomes` maps each scenario's id to pytest's outcomes for its examples, `verdicts` to the suite's verdict."""

    exit_code: int
    output: str
    outcomes: Mapping[str, frozenset[str]]
    verdicts: Mapping[str, str]


def run_suite(*arguments: str, report: Path, folders: Sequence[str] = ("features",)) -> SuiteRun:
    """Run the scenarios in `folders`: fewer folders take less time to collect."""
    unneeded = ("cacheprovider", "hypothesispytest", "anyio", "benchmark", "pytest_cov")  # they take most of the start
    plain = [word for name in unneeded for word in ("-p", f"no:{name}")]
    command = [sys.executable, "-m", "pytest", *folders, *plain, f"--junit-xml={report}"]
    results = report.with_suffix(".json")
    command += [f"--results={results}", *arguments]
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": _BYTECODE.name}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # recompiling everything would double the time of a start
    environment.pop("COVERAGE_PROCESS_CONFIG", None)  # the suite is not part of the coverage, which would slow it down
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False, env=environment)
    outcomes = _outcomes(report) if report.exists() else {}
    return SuiteRun(done.returncode, done.stdout + done.stderr, outcomes, _verdicts(results))


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
