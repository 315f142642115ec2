"""Writes the reports that the command line requests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from features.harness.outline.options import SuiteOptions
from features.harness.reports import html_report, results_json, scorecard
from features.harness.verdicts.run_record import RunRecord


def write_reports(record: RunRecord, options: SuiteOptions) -> Iterator[Path]:
    """Write each report and yield its path."""
    for path, rendered in (
        (options.scorecard, scorecard.rendered),
        (options.results, results_json.rendered),
        (options.html, html_report.rendered),
    ):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rendered(record), encoding="utf-8")
            yield path
