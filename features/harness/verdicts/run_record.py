"""A run that has ended, as the reports tell it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from features.harness.outline.capabilities import registry
from features.harness.target.judged import Judged
from features.harness.target.target_file import Role, known_ids
from features.harness.verdicts.verdicts import Judgement, Verdict


@dataclass(frozen=True, slots=True)
class RunRecord:
    """`judgements` stand in the order in which the suite has them; `model` was asked for, None if nothing was."""

    judged: Judged
    model: str | None
    judgements: tuple[Judgement, ...]
    started_at: datetime
    seconds: float

    @property
    def suite_version(self) -> str:
        return registry().suite_version

    @property
    def target_name(self) -> str:
        return self.judged.file.name

    @property
    def url(self) -> str | None:
        """Where the server was; None for one that was started for the run, whose port says nothing."""
        return self.judged.file.roles[Role.SERVER].url

    @property
    def place(self) -> str:
        """Where and what was judged, for a sentence."""
        at = f" at {self.url}" if self.url else ""
        return f"{at}, serving {self.model}," if self.model else at

    @property
    def left_out(self) -> int:
        """How many scenarios of the suite were not part of the run."""
        return len(known_ids()) - len(self.judgements)

    @property
    def undeclared(self) -> tuple[str, ...]:
        return tuple(name for name in registry().capabilities if name not in self.judged.declared)

    def of_level(self, level: str) -> list[Judgement]:
        return [judgement for judgement in self.judgements if judgement.about.level == level]

    def of_capability(self, name: str) -> list[Judgement]:
        return [judgement for judgement in self.judgements if judgement.about.home == name]

    def with_verdict(self, verdict: Verdict) -> list[Judgement]:
        return [judgement for judgement in self.judgements if judgement.verdict is verdict]
