"""The table at the end of a run: each gate with its limit, figure, share of the roofline, last figure and verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.gates import Comparison, Gate, Gates, Profile, Verdict, judge, load_gates

_SIGNS = {Comparison.AT_MOST: "<=", Comparison.AT_LEAST: ">=", Comparison.EQUALS: "="}
_HEAD = "| gate | what | limit | measured | roofline | last time | verdict |\n|---|---|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class GateResult:
    gate: Gate
    measured: float
    verdict: Verdict
    note: str


@dataclass(slots=True)
class Report:
    """Collects measured figures and fails the test whose gate does not hold.

    `model_size` is the measured model's size as gates.toml names it; gates for other sizes are only reported.
    `limit_tokens_per_second` is the speed that memory bandwidth allows a single stream, or None if it is not known.
    """

    profile: Profile
    gates: Gates = field(default_factory=load_gates)
    model_size: str | None = None
    limit_tokens_per_second: float | None = None
    rows: list[GateResult] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def judge(self, gate_id: str, measured: float, note: str = "") -> None:
        """Record a figure for one gate.

        Raises:
            AssertionError: the gate applies on this profile and does not hold.
        """
        self._record([self.gates[gate_id]], measured, note)

    def judge_metric(self, metric: str, measured: float, note: str = "") -> None:
        """Like `judge`, for every gate of this profile on `metric`. Which of them applies depends on the model."""
        self._record([gate for gate in self.gates.for_profile(self.profile) if gate.metric == metric], measured, note)

    def _record(self, gates: list[Gate], measured: float, note: str) -> None:
        rows = [GateResult(gate, measured, self._verdict(gate, measured), note) for gate in gates]
        self.rows += rows
        failed = [row for row in rows if row.verdict is Verdict.FAIL]
        assert not failed, "; ".join(
            f"{row.gate.id} {row.gate.title}: expected {limit(row.gate)}, actual {measured:.4g} {row.gate.unit} {note}"
            for row in failed
        )

    def _verdict(self, gate: Gate, measured: float) -> Verdict:
        verdict = judge(gate, measured, self.profile)
        is_for_other_model = gate.model is not None and gate.model != self.model_size
        return Verdict.REPORTED if is_for_other_model and verdict is not Verdict.REPORTED else verdict

    def add_note(self, sentence: str) -> None:
        """Show a sentence below the table, for figures that have no gate."""
        self.notes.append(sentence)

    def missing(self) -> list[Gate]:
        """Gates of this profile that this run did not measure, including those that run on demand only."""
        measured = {row.gate.id for row in self.rows}
        return [gate for gate in self.gates.for_profile(self.profile) if gate.id not in measured]

    def roofline_share(self, row: GateResult) -> float | None:
        """The figure's tokens/s over `limit_tokens_per_second`, or None for gates without a bandwidth share."""
        if not row.gate.bandwidth_share or not self.limit_tokens_per_second or row.measured <= 0:
            return None
        speed = 1000 / row.measured if row.gate.unit == "milliseconds" else row.measured
        return speed / self.limit_tokens_per_second

    def as_markdown(self, last: Mapping[str, float] = {}) -> str:
        """`last` maps gate ids to earlier figures."""
        lines = [self._line(row, last.get(row.gate.id)) for row in self.rows]
        lines += [
            f"| {gate.id} | {gate.title} | {limit(gate)} | | | | {'on demand' if gate.on_demand else 'not measured'} |"
            for gate in self.missing()
        ]
        return "\n".join([_HEAD, *lines, *(f"\n{note}" for note in self.notes)])

    def _line(self, row: GateResult, last: float | None) -> str:
        share = self.roofline_share(row)
        cells = [
            row.gate.id,
            row.gate.title,
            limit(row.gate),
            f"{row.measured:.4g} {row.note}".rstrip(),
            "" if share is None else f"{share:.0%}",
            "" if last is None else f"{last:.4g}{_change(row.measured, last)}",
            row.verdict.value,
        ]
        return f"| {' | '.join(cells)} |"

    def as_json(self) -> dict[str, object]:
        """The run as saved for comparison with later runs and for other programs."""
        return {
            "profile": self.profile.value,
            "gates": [
                {
                    "id": row.gate.id,
                    "title": row.gate.title,
                    "limit": limit(row.gate),
                    "measured": row.measured,
                    "unit": row.gate.unit,
                    "roofline_share": self.roofline_share(row),
                    "verdict": row.verdict.value,
                    "note": row.note,
                }
                for row in self.rows
            ],
            "not_measured": [gate.id for gate in self.missing()],
            "notes": self.notes,
        }


def limit(gate: Gate) -> str:
    return f"{_SIGNS[gate.comparison]} {gate.value:g} {gate.unit}"


def _change(measured: float, last: float) -> str:
    return f" ({measured / last - 1:+.0%})" if last else ""
