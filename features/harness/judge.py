"""The judge: it skips what the target does not declare, and adds a finding to pytest's report of each scenario."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterable

import pytest
from pytest_bdd.parser import ScenarioTemplate
from pytest_bdd.scenario import scenario_wrapper_template_registry

from features.harness.outline.capabilities import registry
from features.harness.outline.tags import capabilities_of, id_of, level_of, spec_rows_of
from features.harness.target.judged import UNDER_TEST, JudgedTarget
from features.harness.verdicts.finding import Finding, attach
from features.harness.verdicts.skips import DISABLED, UNSUPPORTED, skip_disabled, skip_unsupported
from features.harness.verdicts.verdicts import About, Example, ScenarioVerdict
from features.harness.wire.expectations import TargetGoneError
from features.harness.wire.transcript import TRANSCRIPT

_SERVERS_FAULT = (AssertionError, pytest.fail.Exception)


class Judge:
    """A pytest plugin for a process that runs scenarios, registered once the run's target is known."""

    def __init__(self, judged: JudgedTarget, items: Iterable[pytest.Item]) -> None:
        self.judged = judged
        self._num_examples: Counter[str] = Counter()
        self._places: dict[str, int] = {}
        for place, item in enumerate(items):
            if (slug := id_of(item)) is not None:
                self._num_examples[slug] += 1
                self._places.setdefault(slug, place)

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
        slug = id_of(item)
        if slug is None or (report.when != "call" and report.passed):
            return report
        transcript = item.stash.get(TRANSCRIPT, None)
        exchanges = self.judged.without_secrets(transcript.render()) if report.failed and transcript else ""
        if exchanges and report.when == "call":
            report.sections.append(("Transcript", exchanges))
        reason = self.judged.without_secrets(_reason(report, call))
        example = Example(_label(item), _verdict(report, call), reason, exchanges, report.duration)
        under_test = item.config.stash.get(UNDER_TEST, None)
        attach(
            report,
            Finding(
                about=_about(item, slug),
                example=example,
                num_examples=self._num_examples[slug],
                place=self._places[slug],
                model=self.judged.without_secrets(under_test.model) if under_test else None,
            ),
        )
        known_failure = self.judged.file.expected_failures.get(slug)
        if example.verdict is ScenarioVerdict.FAIL and known_failure is not None:
            report.outcome, report.wasxfail = "skipped", known_failure
        return report


def _about(item: pytest.Item, slug: str) -> About:
    scenario: ScenarioTemplate = scenario_wrapper_template_registry[getattr(item, "obj")]  # noqa: B009 - of functions
    capabilities = capabilities_of(item)
    return About(
        id=slug,
        name=scenario.name,
        rule=scenario.rule.name if scenario.rule else "",
        chapter=scenario.feature.name or "",
        level=level_of(item) or "",
        home=registry().home_of(capabilities),
        capabilities=tuple(sorted(capabilities)),
        spec_rows=tuple(sorted(spec_rows_of(item))),
    )


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
