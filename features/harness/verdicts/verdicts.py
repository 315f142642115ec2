"""What became of each scenario: one verdict an id, whatever the number of its examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"
    """The suite could not judge: it broke, or the server is gone."""

    EXPECTED_FAILURE = "expected failure"
    """It fails, and the target's file says so."""

    UNEXPECTED_PASS = "unexpected pass"
    """It passes, and the target's file says that it fails: the file is out of date."""

    UNSUPPORTED = "unsupported"
    """The target does not declare the capability."""

    DISABLED = "disabled"
    """It was switched off, or the run was not given what it takes."""


BAD = frozenset({Verdict.FAIL, Verdict.ERROR, Verdict.UNEXPECTED_PASS})
"""What makes a run fail."""

NOT_JUDGED = frozenset({Verdict.UNSUPPORTED, Verdict.DISABLED})

_WORST_FIRST = (Verdict.ERROR, Verdict.FAIL, Verdict.PASS, Verdict.DISABLED, Verdict.UNSUPPORTED)


@dataclass(frozen=True, slots=True)
class About:
    """A scenario's place in the suite. `home` is the capability that it counts under."""

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
    """One run of a scenario. `label` tells an outline's examples apart; `reason` says why it is no pass."""

    label: str
    verdict: Verdict
    reason: str = ""
    transcript: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class Judgement:
    """A scenario and all its examples. `known_failure` is the reason that the target's file gives."""

    about: About
    known_failure: str | None = None
    num_examples: int = 0
    examples: list[Example] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """The worst of the examples. A known failure is news once every example passes."""
        seen = {example.verdict for example in self.examples}
        worst = next((verdict for verdict in _WORST_FIRST if verdict in seen), Verdict.DISABLED)
        if self.known_failure is None:
            return worst
        if worst is Verdict.FAIL:
            return Verdict.EXPECTED_FAILURE
        all_pass = seen == {Verdict.PASS} and len(self.examples) == self.num_examples
        return Verdict.UNEXPECTED_PASS if all_pass else worst

    @property
    def reason(self) -> str:
        """Why it is no pass, on one line."""
        if self.verdict is Verdict.EXPECTED_FAILURE:
            return self.known_failure or ""
        if self.verdict is Verdict.UNEXPECTED_PASS:
            return f"it is expected to fail ({self.known_failure}), and it passes"
        telling = [example.reason for example in self.examples if example.verdict is self.verdict]
        return " ".join(telling[0].split()) if telling else ""

    @property
    def counts(self) -> Mapping[Verdict, int]:
        return Counter(example.verdict for example in self.examples)

    @property
    def seconds(self) -> float:
        return sum(example.seconds for example in self.examples)

    @property
    def of_examples(self) -> str:
        """How many examples share its verdict, where not all do."""
        if len(self.counts) < 2:
            return ""
        told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.counts.items()))
        return f"of {len(self.examples)} examples: {told}"
