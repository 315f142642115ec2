"""The scoreboard: it collects verdicts from pytest's reports, lets expected failures pass, and sets the exit code."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterable
from datetime import UTC, datetime

import pytest
from pytest_bdd.parser import ScenarioTemplate
from pytest_bdd.scenario import scenario_wrapper_template_registry

from features.harness.outline.capabilities import registry
from features.harness.outline.tags import LEVELS, capabilities_of, id_of, level_of, spec_rows_of
from features.harness.reports.reports import write_reports
from features.harness.target.judged import UNDER_TEST, JudgedTarget
from features.harness.target.target import TargetServer
from features.harness.verdicts.run_record import RunRecord
from features.harness.verdicts.skips import DISABLED, UNSUPPORTED, skip_disabled, skip_unsupported
from features.harness.verdicts.verdicts import BAD, NOT_JUDGED, About, Example, Judgement, ScenarioVerdict
from features.harness.wire.expectations import TargetGoneError
from features.harness.wire.transcript import TRANSCRIPT

_SERVERS_FAULT = (AssertionError, pytest.fail.Exception)


class Scoreboard:
    """A pytest plugin for one run, registered once the run's target is known."""

    def __init__(self, judged: JudgedTarget, items: Iterable[pytest.Item]) -> None:
        self.judged = judged
        self.judgements: dict[str, Judgement] = {}
        self._started_at, self._clock = datetime.now(UTC), time.monotonic()
        for item in items:
            if (slug := id_of(item)) is not None:
                judgement = self.judgements.setdefault(slug, _judgement(item, slug, judged))
                judgement.num_examples += 1

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Skip a scenario before a server is started for it."""
        needed = capabilities_of(item)
        if reason := self.judged.why_unsupported(needed):
            skip_unsupported(reason)
        if reason := self.judged.why_disabled(needed):
            skip_disabled(reason)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        judgement = self.judgements.get(id_of(item) or "")
        if judgement is None or (report.when != "call" and report.passed):
            return report
        transcript = item.stash.get(TRANSCRIPT, None)
        exchanges = self.judged.without_secrets(transcript.render()) if report.failed and transcript else ""
        if exchanges and report.when == "call":
            report.sections.append(("Transcript", exchanges))
        reason = self.judged.without_secrets(_reason(report, call))
        example = Example(_label(item), _verdict(report, call), reason, exchanges, report.duration)
        judgement.examples.append(example)
        if example.verdict is ScenarioVerdict.FAIL and judgement.known_failure is not None:
            report.outcome, report.wasxfail = "skipped", judgement.known_failure
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """A run that judged nothing fails, and so does a run in which an expected failure passes."""
        verdicts = {judgement.verdict for judgement in self.judgements.values()}
        if exitstatus == pytest.ExitCode.OK and verdicts <= NOT_JUDGED:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
        elif exitstatus == pytest.ExitCode.OK and not verdicts.isdisjoint(BAD):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        record = self._record(terminalreporter.config.stash.get(UNDER_TEST, None))
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

    def _record(self, under_test: TargetServer | None) -> RunRecord:
        return RunRecord(
            judged=self.judged,
            model=self.judged.without_secrets(under_test.model) if under_test else None,
            judgements=tuple(judgement for judgement in self.judgements.values() if judgement.examples),
            started_at=self._started_at,
            seconds=time.monotonic() - self._clock,
        )


def _judgement(item: pytest.Item, slug: str, judged: JudgedTarget) -> Judgement:
    scenario: ScenarioTemplate = scenario_wrapper_template_registry[getattr(item, "obj")]  # noqa: B009 - of functions
    capabilities = capabilities_of(item)
    about = About(
        id=slug,
        name=scenario.name,
        rule=scenario.rule.name if scenario.rule else "",
        chapter=scenario.feature.name or "",
        level=level_of(item) or "",
        home=registry().home_of(capabilities),
        capabilities=tuple(sorted(capabilities)),
        spec_rows=tuple(sorted(spec_rows_of(item))),
    )
    return Judgement(about, judged.file.expected_failures.get(slug))


def _label(item: pytest.Item) -> str:
    _, _, parameters = item.name.partition("[")
    return parameters.removesuffix("]")


def _verdict(report: pytest.TestReport, call: pytest.CallInfo[None]) -> ScenarioVerdict:
    if report.passed:
        return ScenarioVerdict.PASS
    if report.skipped:
        return ScenarioVerdict.UNSUPPORTED if _skip_reason(report).startswith(UNSUPPORTED) else ScenarioVerdict.DISABLED
    raised = call.excinfo.value if call.excinfo else None
    is_fault = isinstance(raised, _SERVERS_FAULT) and not isinstance(raised, TargetGoneError)
    return ScenarioVerdict.FAIL if report.when == "call" and is_fault else ScenarioVerdict.ERROR


def _reason(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    if report.skipped:
        return _skip_reason(report).removeprefix(UNSUPPORTED).removeprefix(DISABLED)
    raised = call.excinfo.value if call.excinfo else None
    if isinstance(raised, _SERVERS_FAULT):
        return str(raised)
    return f"{type(raised).__name__}: {raised}" if raised is not None else ""


def _skip_reason(report: pytest.TestReport) -> str:
    place = report.longrepr
    return str(place[2]).removeprefix("Skipped: ") if isinstance(place, tuple) else str(place)
