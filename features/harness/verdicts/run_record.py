"""The record of a finished run, from which the reports are rendered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from features.harness.outline.capabilities import registry
from features.harness.target.judged import JudgedTarget
from features.harness.target.target_file import ServerRole, known_ids
from features.harness.verdicts.verdicts import Judgement, ScenarioVerdict


@dataclass(frozen=True, slots=True)
class RunRecord:
    """`judgements` are in the suite's order; `model` is the requested model, None if no server was reached."""

    judged: JudgedTarget
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
        """The server's URL; None if it was started for the run, on a random port."""
        return self.judged.file.roles[ServerRole.SERVER].url

    @property
    def place(self) -> str:
        """The URL and the model, to complete a sentence."""
        at = f" at {self.url}" if self.url else ""
        return f"{at}, serving {self.model}," if self.model else at

    @property
    def left_out(self) -> int:
        """The number of the suite's scenarios that were not part of the run."""
        return len(known_ids()) - len(self.judgements)

    @property
    def undeclared(self) -> tuple[str, ...]:
        return tuple(name for name in registry().capabilities if name not in self.judged.declared)

    def of_level(self, level: str) -> list[Judgement]:
        return [judgement for judgement in self.judgements if judgement.about.level == level]

    def of_capability(self, name: str) -> list[Judgement]:
        return [judgement for judgement in self.judgements if judgement.about.home == name]

    def with_verdict(self, verdict: ScenarioVerdict) -> list[Judgement]:
        return [judgement for judgement in self.judgements if judgement.verdict is verdict]
