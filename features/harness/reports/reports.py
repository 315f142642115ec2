"""The reports that a run was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from features.harness.outline.options import Options
from features.harness.reports import html_report, results_json, scorecard
from features.harness.verdicts.run_record import RunRecord


def write_reports(record: RunRecord, asked: Options) -> Iterator[Path]:
    """Write each, and tell its path."""
    for path, rendered in (
        (asked.scorecard, scorecard.rendered),
        (asked.results, results_json.rendered),
        (asked.html, html_report.rendered),
    ):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rendered(record), encoding="utf-8")
            yield path
