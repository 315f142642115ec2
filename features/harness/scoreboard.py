"""The scoreboard: it collects the findings in pytest's reports, reports the verdicts, and sets the exit code."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from features.harness.outline.tags import LEVELS
from features.harness.reports.reports import write_reports
from features.harness.target.judged import JudgedTarget
from features.harness.verdicts.finding import finding_in
from features.harness.verdicts.run_record import RunRecord
from features.harness.verdicts.verdicts import BAD, NOT_JUDGED, Judgement, ScenarioVerdict


class Scoreboard:
    """A pytest plugin for the process that reports a run; with pytest-xdist, others run the scenarios."""

    def __init__(self, judged: JudgedTarget) -> None:
        self.judged = judged
        self._judgements: dict[str, Judgement] = {}
        self._places: dict[str, int] = {}
        self._model: str | None = None
        self._started_at, self._clock = datetime.now(UTC), time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if (finding := finding_in(report)) is None:
            return
        slug = finding.about.id
        known_failure = self.judged.file.expected_failures.get(slug)
        judgement = self._judgements.setdefault(slug, Judgement(finding.about, known_failure, finding.num_examples))
        judgement.examples.append(finding.example)
        self._places[slug] = finding.place
        self._model = finding.model or self._model

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """A run that judged nothing fails, and so does a run in which an expected failure passes."""
        verdicts = {judgement.verdict for judgement in self._judgements.values()}
        if exitstatus != pytest.ExitCode.OK or not verdicts:
            return
        if verdicts <= NOT_JUDGED:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
        elif not verdicts.isdisjoint(BAD):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._judgements:
            return
        record = self._record()
        terminalreporter.section("conformance")
        terminalreporter.write_line(f"{record.target_name}, judged by suite {record.suite_version}")
        for level in LEVELS:
            counts = Counter(judgement.verdict for judgement in record.of_level(level))
            parts = [f"{counts[verdict]} {verdict}" for verdict in ScenarioVerdict if counts[verdict]]
            if parts:
                terminalreporter.write_line(f"{level}: {', '.join(parts)}")
        for news in record.with_verdict(ScenarioVerdict.UNEXPECTED_PASS):
            sentence = f"{news.about.id} passes: delete its [[expected_failure]] from {self.judged.file.path}"
            terminalreporter.write_line(sentence, red=True, bold=True)
        for path in write_reports(record, self.judged.options):
            terminalreporter.write_line(f"wrote {path}")

    def _record(self) -> RunRecord:
        in_order = sorted(self._judgements.values(), key=lambda judgement: self._places[judgement.about.id])
        return RunRecord(
            judged=self.judged,
            model=self._model,
            judgements=tuple(in_order),
            started_at=self._started_at,
            seconds=time.monotonic() - self._clock,
        )
