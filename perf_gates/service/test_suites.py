"""Results of the other suites (G-4.1), read from their last runs. Run `tox -e coverage,features` first."""

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
        pytest.skip("no .coverage file: run `tox -e coverage` first")
    data = coverage.Coverage(data_file=str(COVERAGE))
    data.load()
    with open("/dev/null", "w", encoding="utf-8") as devnull:
        report.judge("G-4.1a", data.report(file=devnull), "(from the last run with coverage)")


def test_every_scenario_passes(report: Report) -> None:
    if not VERDICTS.exists():
        pytest.skip(f"no {VERDICTS}: run `tox -e features -- --results {VERDICTS}` first")
    verdicts = [scenario["verdict"] for scenario in json.loads(VERDICTS.read_text(encoding="utf-8"))["scenarios"]]
    judged = [verdict for verdict in verdicts if verdict in ("pass", "fail", "error")]
    report.judge("G-4.1b", 100 * judged.count("pass") / len(judged), f"(of {len(judged)})")
