"""The table that a run of the gates ends with: gate, limit, measured, verdict."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.gates import Comparison, Gate, Gates, Profile, Verdict, judge, load_gates

_SIGNS = {Comparison.AT_MOST: "<=", Comparison.AT_LEAST: ">=", Comparison.EQUALS: "="}


@dataclass(frozen=True, slots=True)
class Row:
    gate: Gate
    measured: float
    verdict: Verdict
    note: str


@dataclass(slots=True)
class Report:
    """Collects what the tests measure. `judge` is where a gate fails."""

    profile: Profile
    gates: Gates = field(default_factory=load_gates)
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def judge(self, gate_id: str, measured: float, note: str = "") -> None:
        """Enter a figure, and fail if its gate decides here and does not hold."""
        gate = self.gates[gate_id]
        row = Row(gate, measured, judge(gate, measured, self.profile), note)
        self.rows.append(row)
        assert row.verdict is not Verdict.FAIL, (
            f"{gate.id} {gate.title}: expected {_limit(gate)}, actual {measured:.4g} {gate.unit} {note}"
        )

    def say(self, sentence: str) -> None:
        """A figure that no gate asks for."""
        self.notes.append(sentence)

    def as_markdown(self) -> str:
        lines = ["| gate | what | limit | measured | verdict |", "|---|---|---|---|---|"]
        lines += [
            f"| {row.gate.id} | {row.gate.title} | {_limit(row.gate)} | {row.measured:.4g} {row.note}".rstrip()
            + f" | {row.verdict.value} |"
            for row in self.rows
        ]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)])


def _limit(gate: Gate) -> str:
    return f"{_SIGNS[gate.comparison]} {gate.value:g} {gate.unit}"
