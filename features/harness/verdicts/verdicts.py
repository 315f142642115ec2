"""The verdict on each scenario: one per id, however many examples it has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class ScenarioVerdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    """The suite could not judge: it broke, or the server went away."""

    EXPECTED_FAILURE = "expected failure"
    """It fails, as the target file expects."""

    UNEXPECTED_PASS = "unexpected pass"
    """It passes although the target file expects a failure: the file is out of date."""

    UNSUPPORTED = "unsupported"
    """The target does not declare the capability."""

    DISABLED = "disabled"
    """It is switched off, or the run lacks an option that it needs."""


BAD = frozenset({ScenarioVerdict.FAIL, ScenarioVerdict.ERROR, ScenarioVerdict.UNEXPECTED_PASS})
"""Verdicts that fail the run."""

NOT_JUDGED = frozenset({ScenarioVerdict.UNSUPPORTED, ScenarioVerdict.DISABLED})

_WORST_FIRST = (
    ScenarioVerdict.ERROR,
    ScenarioVerdict.FAIL,
    ScenarioVerdict.PASS,
    ScenarioVerdict.DISABLED,
    ScenarioVerdict.UNSUPPORTED,
)


@dataclass(frozen=True, slots=True)
class About:
    """A scenario's place in the suite. `home` is the capability that reports count it under."""

    id: str
    name: str
    rule: str
    chapter: str
    level: str
    home: str
    capabilities: tuple[str, ...]
    spec_rows: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One run of a scenario. `label` identifies an outline's example; `reason` says why it did not pass."""

    label: str
    verdict: ScenarioVerdict
    reason: str = ""
    transcript: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Judgement:
    """A scenario and all its examples. `known_failure` is the reason in the target file for expecting a failure."""

    about: About
    known_failure: str | None = None
    num_examples: int = 0
    examples: list[Example] = field(default_factory=list)

    @property
    def verdict(self) -> ScenarioVerdict:
        """The worst verdict of the examples. A known failure passes unexpectedly once every example passes."""
        seen = {example.verdict for example in self.examples}
        worst = next((verdict for verdict in _WORST_FIRST if verdict in seen), ScenarioVerdict.DISABLED)
        if self.known_failure is None:
            return worst
        if worst is ScenarioVerdict.FAIL:
            return ScenarioVerdict.EXPECTED_FAILURE
        all_pass = seen == {ScenarioVerdict.PASS} and len(self.examples) == self.num_examples
        return ScenarioVerdict.UNEXPECTED_PASS if all_pass else worst

    @property
    def reason(self) -> str:
        """Why it did not pass, on one line."""
        if self.verdict is ScenarioVerdict.EXPECTED_FAILURE:
            return self.known_failure or ""
        if self.verdict is ScenarioVerdict.UNEXPECTED_PASS:
            return f"it passes, but is expected to fail: {self.known_failure}"
        reasons = [example.reason for example in self.examples if example.verdict is self.verdict]
        return " ".join(reasons[0].split()) if reasons else ""

    @property
    def counts(self) -> Mapping[ScenarioVerdict, int]:
        return Counter(example.verdict for example in self.examples)

    @property
    def seconds(self) -> float:
        return sum(example.seconds for example in self.examples)

    @property
    def of_examples(self) -> str:
        """How many examples have which verdict; empty if they all have the same."""
        if len(self.counts) < 2:
            return ""
        parts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.counts.items()))
        return f"of {len(self.examples)} examples: {parts}"
