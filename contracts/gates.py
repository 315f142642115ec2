"""The gates of docs/requirements.md (S12): reads them from gates.toml and judges measured figures.

gates = load_gates()
for gate in gates.for_profile(Profile.CPU):
    verdict = judge(gate, measured[gate.metric], Profile.CPU)
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TypeVar

GATES_FILE = Path(__file__).with_name("gates.toml")


class GateError(ValueError):
    """gates.toml is invalid. The message names the gate and the key."""


class Profile(Enum):
    """The types of machine on which figures are measured."""

    M1_16GB = "m1-16gb"
    M1_PRO_16GB = "m1-pro-16gb"
    CUDA = "cuda"
    CPU = "cpu"
    ANY = "any"


class Comparison(Enum):
    AT_MOST = "at_most"
    AT_LEAST = "at_least"
    EQUALS = "equals"


class Verdict(Enum):
    """REPORTED: the figure was measured on a machine on which it does not decide."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    REPORTED = "reported"


@dataclass(frozen=True, slots=True)
class ProfileInfo:
    """`bandwidth_bytes_per_second` is None if it has to be measured."""

    title: str
    bandwidth_bytes_per_second: float | None


@dataclass(frozen=True, slots=True)
class Gate:
    """One figure and its limit. `id` is a row of the specification and a letter: G-3.1a belongs to G-3.1."""

    id: str
    title: str
    metric: str
    comparison: Comparison
    value: float
    unit: str
    profiles: frozenset[Profile]
    source: str
    model: str | None = None
    up_to: float | None = None
    cpu_decided_by: str | None = None
    bandwidth_share: bool = False
    on_demand: bool = False

    @property
    def row(self) -> str:
        return self.id[:-1]

    def decides_on(self, profile: Profile) -> bool:
        return Profile.ANY in self.profiles or profile in self.profiles

    def is_reported_on(self, profile: Profile) -> bool:
        """Whether the figure is measured on `profile` although another one decides there."""
        return profile is Profile.CPU and self.cpu_decided_by is not None


@dataclass(frozen=True, slots=True)
class Gates:
    """All gates, in the order of the file."""

    by_id: Mapping[str, Gate]
    profiles: Mapping[Profile, ProfileInfo]

    def __iter__(self) -> Iterator[Gate]:
        return iter(self.by_id.values())

    def __len__(self) -> int:
        return len(self.by_id)

    def __getitem__(self, gate_id: str) -> Gate:
        return self.by_id[gate_id]

    def for_profile(self, profile: Profile) -> tuple[Gate, ...]:
        """The gates that are measured on `profile`: those that decide there and those that are only reported."""
        return tuple(gate for gate in self if gate.decides_on(profile) or gate.is_reported_on(profile))


def judge(gate: Gate, measured: float, profile: Profile | None = None) -> Verdict:
    """Judge a figure. Without `profile`, the gate decides.

    A figure that is not finite is a failed measurement and fails on every machine.
    """
    if not math.isfinite(measured):
        return Verdict.FAIL
    if profile is not None and not gate.decides_on(profile):
        return Verdict.REPORTED
    passes = {
        Comparison.AT_MOST: measured <= gate.value,
        Comparison.AT_LEAST: measured >= gate.value,
        Comparison.EQUALS: measured == gate.value,
    }
    return Verdict.PASS if passes[gate.comparison] else Verdict.FAIL


def load_gates(path: Path = GATES_FILE) -> Gates:
    """Read and check the gates.

    Raises:
        GateError: a gate or key is missing, unknown, of the wrong type, or contradicts another.
        tomllib.TOMLDecodeError: the file is not TOML.
    """
    document = tomllib.loads(path.read_text(encoding="utf-8"))
    tables = document.get("gate")
    if not isinstance(tables, list) or not tables:
        raise GateError(f"{path.name}: add at least one [[gate]]")
    gates: dict[str, Gate] = {}
    for number, table in enumerate(tables, start=1):
        gate = _gate(_Table(table, f"gate number {number}"))
        if gate.id in gates:
            raise GateError(f"{gate.id}: id: two gates have this id")
        gates[gate.id] = gate
    for gate in gates.values():
        _check_cpu_decision(gate, gates)
    return Gates(gates, _profiles(document.get("profiles", {})))


T = TypeVar("T")
E = TypeVar("E", bound=Enum)


class _Table:
    """One TOML table whose keys are taken out one by one; any key left over is unknown."""

    def __init__(self, values: object, name: str) -> None:
        if not isinstance(values, Mapping):
            raise GateError(f"{name}: must be a table")
        self.name = name
        self._left = dict(values)

    def take(self, key: str, expected: type[T]) -> T:
        if key not in self._left:
            raise GateError(f"{self.name}: {key}: missing")
        value = self._left.pop(key)
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            raise GateError(f"{self.name}: {key}: must be {expected.__name__}, not {type(value).__name__}")
        return value

    def take_text(self, key: str) -> str:
        value = self.take(key, str)
        if not value.strip():
            raise GateError(f"{self.name}: {key}: must not be empty")
        return value

    def take_number(self, key: str) -> float:
        whole = isinstance(self._left.get(key), int)
        number = float(self.take(key, int)) if whole else self.take(key, float)
        if not math.isfinite(number):
            raise GateError(f"{self.name}: {key}: must be a finite number, not {number}")
        return number

    def take_one_of(self, key: str, choices: type[E]) -> E:
        return self._choice(key, self.take(key, str), choices)

    def take_set_of(self, key: str, choices: type[E]) -> frozenset[E]:
        values = self.take(key, list)
        if not values:
            raise GateError(f"{self.name}: {key}: must not be empty")
        return frozenset(self._choice(key, value, choices) for value in values)

    def has(self, key: str) -> bool:
        return key in self._left

    def expect_empty(self) -> None:
        if self._left:
            raise GateError(f"{self.name}: {min(self._left)}: unknown key")

    def _choice(self, key: str, value: object, choices: type[E]) -> E:
        for choice in choices:
            if choice.value == value:
                return choice
        names = ", ".join(str(choice.value) for choice in choices)
        raise GateError(f"{self.name}: {key}: must be one of {names}, not {value!r}")


def _gate(table: _Table) -> Gate:
    table.name = gate_id = table.take_text("id")
    if not (gate_id.startswith("G-") and gate_id[-1].islower()):
        raise GateError(f"{gate_id}: id: must be a row of the specification and a letter, as in G-3.1a")
    gate = Gate(
        id=gate_id,
        title=table.take_text("title"),
        metric=table.take_text("metric"),
        comparison=table.take_one_of("comparison", Comparison),
        value=table.take_number("value"),
        unit=table.take_text("unit"),
        profiles=table.take_set_of("profiles", Profile),
        source=table.take_text("source"),
        model=table.take_text("model") if table.has("model") else None,
        up_to=table.take_number("up_to") if table.has("up_to") else None,
        cpu_decided_by=table.take_text("cpu_decided_by") if table.has("cpu_decided_by") else None,
        bandwidth_share=table.take("bandwidth_share", bool) if table.has("bandwidth_share") else False,
        on_demand=table.take("on_demand", bool) if table.has("on_demand") else False,
    )
    table.expect_empty()
    if gate.up_to is not None and (gate.comparison is not Comparison.AT_LEAST or gate.up_to < gate.value):
        raise GateError(f"{gate.id}: up_to: needs the comparison at_least, and must not be below value")
    return gate


def _check_cpu_decision(gate: Gate, gates: Mapping[str, Gate]) -> None:
    """A gate that is only reported on a CPU must name another gate of its row that decides there."""
    if gate.cpu_decided_by is None:
        return
    if gate.decides_on(Profile.CPU):
        raise GateError(f"{gate.id}: cpu_decided_by: remove it, because the gate itself decides on a CPU")
    other = gates.get(gate.cpu_decided_by)
    if other is None or other.row != gate.row or not other.decides_on(Profile.CPU):
        raise GateError(
            f"{gate.id}: cpu_decided_by: must be a gate of {gate.row} that decides on a CPU, not {gate.cpu_decided_by}"
        )


def _profiles(tables: object) -> Mapping[Profile, ProfileInfo]:
    if not isinstance(tables, Mapping):
        raise GateError("profiles: must be a table")
    profiles: dict[Profile, ProfileInfo] = {}
    for profile in Profile:
        if profile.value not in tables:
            raise GateError(f"profiles: {profile.value}: missing")
        table = _Table(tables[profile.value], f"profiles.{profile.value}")
        title, key = table.take_text("title"), "bandwidth_bytes_per_second"
        profiles[profile] = ProfileInfo(title, table.take_number(key) if table.has(key) else None)
        table.expect_empty()
    unknown = sorted(set(tables) - {profile.value for profile in Profile})
    if unknown:
        raise GateError(f"profiles: {unknown[0]}: unknown profile")
    return profiles
