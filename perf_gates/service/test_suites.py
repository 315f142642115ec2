"""What the other suites found, from what their last runs left (G-4.1). They are run before: `tox -e tests,features`."""

from __future__ import annotations

import json
from pathlib import Path

import coverage
import pytest

from perf_gates.reporting.report import Report

COVERAGE = Path(".coverage")
VERDICTS = Path("results", "features.json")


def test_unit_tests_cover_the_code(report: Report) -> None:
    if not COVERAGE.exists():
        pytest.skip("no .coverage is here: run `tox -e tests` first")
    found = coverage.Coverage(data_file=str(COVERAGE))
    found.load()
    with open("/dev/null", "w", encoding="utf-8") as nowhere:
        report.judge("G-4.1a", found.report(file=nowhere), "(of the last run that measured it)")


def test_every_scenario_passes(report: Report) -> None:
    if not VERDICTS.exists():
        pytest.skip(f"no {VERDICTS} is here: run `tox -e features -- --results {VERDICTS}` first")
    verdicts = [each["verdict"] for each in json.loads(VERDICTS.read_text(encoding="utf-8"))["scenarios"]]
    judged = [verdict for verdict in verdicts if verdict in ("pass", "fail", "error")]
    report.judge("G-4.1b", 100 * judged.count("pass") / len(judged), f"(of {len(judged)})")
