"""The gates: the content of gates.toml, the errors of the loader, and the judgement of figures."""

from __future__ import annotations

import dataclasses
import math
import re
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.gates import (
    GATES_FILE,
    Comparison,
    Gate,
    GateError,
    Gates,
    Profile,
    Verdict,
    judge,
    load_gates,
)

ROWS = ("G-1.2", "G-2.1", "G-2.2", "G-2.3", "G-3.1", "G-3.2", "G-3.3", "G-4.1", "G-4.2", "G-R1", "G-R2")
OWN_ROWS = ("G-P1", "G-P2", "G-P3", "G-P4")
"""Pensieve's own gates beside the specification."""

FIGURES = {
    "G-1.2": {("at_most", 10, "seconds"), ("at_most", 8e9, "bytes")},
    "G-2.1": {("at_most", 5, "seconds"), ("equals", 100, "percent")},
    "G-2.2": {
        ("at_most", 500, "milliseconds"),
        ("at_most", 50, "milliseconds"),
        ("at_least", 99, "percent"),
        ("equals", 0, "bytes"),
    },
    "G-2.3": {("equals", 100, "percent"), ("at_least", 95, "percent")},
    "G-3.1": {
        ("at_most", 300, "milliseconds"),
        ("at_least", 25, "tokens/s"),
        ("at_least", 10, "tokens/s"),
        ("at_most", 12e9, "bytes"),
        ("at_most", 100, "percent"),
    },
    "G-3.2": {
        ("at_most", 5, "percent"),
        ("equals", 100, "percent"),
        ("at_least", 5, "requests"),
        ("at_most", 10, "percent"),
    },
    "G-3.3": {
        ("at_least", 24, "hours"),
        ("at_least", 60, "seconds"),
        ("at_most", 0.1, "percent"),
        ("at_most", 1, "percent"),
    },
    "G-4.1": {("at_least", 95, "percent"), ("equals", 100, "percent")},
    "G-4.2": {("at_least", 2, "hours"), ("at_most", 5, "percent"), ("equals", 0, "resources")},
    "G-R1": {("at_most", 2, "seconds")},
    "G-R2": {("at_least", 1, "times"), ("equals", 0, "times")},
}
"""The specification's table, figure by figure, without Pensieve's own gates that decide only on a CPU."""


@pytest.fixture(scope="module")
def gates() -> Gates:
    return load_gates()


def test_the_gates_cover_exactly_the_rows_of_the_specification_and_our_own(gates: Gates) -> None:
    assert tuple(dict.fromkeys(gate.row for gate in gates)) == (*ROWS, *OWN_ROWS)
    assert all((gate.row in OWN_ROWS) == (gate.source == "Pensieve's own") for gate in gates)


@pytest.mark.parametrize("row", ROWS)
def test_a_row_has_the_figures_of_the_specification(gates: Gates, row: str) -> None:
    stated = [gate for gate in gates if gate.row == row and gate.profiles != {Profile.CPU}]
    assert {(gate.comparison.value, gate.value, gate.unit) for gate in stated} == FIGURES[row]


@pytest.mark.parametrize(
    ("profile", "model", "value", "up_to"),
    [
        (Profile.M1_16GB, "6.7B, 4-bit", 10, 20),
        (Profile.M1_16GB, "3-4B, 4-bit", 25, 40),
        (Profile.M1_PRO_16GB, "6.7B, 4-bit", 25, 40),
        (Profile.CUDA, "6.7B, 4-bit", 25, None),
    ],
)
def test_tokens_per_second_belong_to_a_machine_and_a_model(
    gates: Gates, profile: Profile, model: str, value: float, up_to: float | None
) -> None:
    matching = [
        gate for gate in gates.for_profile(profile) if gate.metric == "tokens_per_second" and gate.model == model
    ]
    assert [(gate.value, gate.up_to) for gate in matching] == [(value, up_to)]


def test_a_speed_gate_is_decided_by_a_ratio_on_a_cpu_and_by_its_figure_on_gpus(gates: Gates) -> None:
    gpus = {Profile.M1_16GB, Profile.M1_PRO_16GB, Profile.CUDA}
    absolute = [gate for gate in gates if gate.profiles <= gpus]
    assert absolute
    for gate in absolute:
        assert gate.cpu_decided_by is not None
        assert gates[gate.cpu_decided_by].unit in ("ratio", "percent")
        assert not gate.decides_on(Profile.CPU)


def test_gates_that_decide_only_on_a_cpu_replace_a_speed_gate(gates: Gates) -> None:
    own = {gate.id for gate in gates if gate.profiles == {Profile.CPU}}
    short_first_token = "G-P1h"  # below what mlx-lm takes: on a GPU there is too little to gain
    deciding = {gate.cpu_decided_by for gate in gates if gate.cpu_decided_by is not None}
    assert own - {short_first_token} <= deciding
    assert all(gates[each].decides_on(Profile.CPU) for each in deciding)


def test_every_gate_on_tokens_reports_its_share_of_the_bandwidth(gates: Gates) -> None:
    metrics = {gate.metric for gate in gates if gate.bandwidth_share}
    assert metrics == {"tokens_per_second", "p95_token_interval_ms"}
    assert all(gate.bandwidth_share for gate in gates if gate.metric in metrics)


def test_profiles_have_the_bandwidth_of_macs_and_leave_others_to_be_measured(gates: Gates) -> None:
    bandwidths = {profile: info.bandwidth_bytes_per_second for profile, info in gates.profiles.items()}
    assert bandwidths == {
        Profile.M1_16GB: 68e9,
        Profile.M1_PRO_16GB: 200e9,
        Profile.CUDA: None,
        Profile.CPU: None,
        Profile.ANY: None,
    }


def test_the_small_macs_figure_is_possible_with_its_bandwidth(gates: Gates) -> None:
    bandwidth = gates.profiles[Profile.M1_16GB].bandwidth_bytes_per_second
    assert bandwidth is not None
    assert gates["G-3.1b"].value < bandwidth / 3.8e9 < 18


def test_only_gates_that_take_hours_are_on_demand(gates: Gates) -> None:
    assert {gate.id for gate in gates if gate.on_demand} == {gate.id for gate in gates if gate.unit == "hours"}


def test_a_profile_gets_the_gates_that_decide_there_and_a_cpu_also_the_reported_ones(gates: Gates) -> None:
    assert {gate.id for gate in gates.for_profile(Profile.CPU)} == {gate.id for gate in gates}
    assert "G-2.2b" not in {gate.id for gate in gates.for_profile(Profile.M1_16GB)}
    assert all(gate.decides_on(Profile.CUDA) for gate in gates.for_profile(Profile.CUDA))


def test_an_unknown_gate_is_a_key_error(gates: Gates) -> None:
    with pytest.raises(KeyError, match=r"G-9\.9a"):
        gates["G-9.9a"]


def test_gates_are_in_the_order_of_the_file(gates: Gates) -> None:
    written = re.findall(r'^id = "(.+)"$', GATES_FILE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [gate.id for gate in gates] == written
    assert len(gates) == len(written)


def test_the_file_is_in_the_package() -> None:
    assert files("contracts").joinpath("gates.toml").is_file()


def gate(comparison: Comparison, value: float = 10.0, cpu_decided_by: str | None = None) -> Gate:
    profiles = frozenset({Profile.CUDA} if cpu_decided_by else {Profile.ANY})
    return Gate("G-0.0a", "a gate", "figure", comparison, value, "units", profiles, "", cpu_decided_by=cpu_decided_by)


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_a_figure_is_judged_by_its_comparison_and_the_limit_itself_passes(value: float, measured: float) -> None:
    passed = {kind: judge(gate(kind, value), measured) is Verdict.PASS for kind in Comparison}
    assert passed == {
        Comparison.AT_MOST: measured <= value,
        Comparison.AT_LEAST: measured >= value,
        Comparison.EQUALS: measured == value,
    }
    assert judge(gate(Comparison.EQUALS, value), value) is Verdict.PASS


@pytest.mark.parametrize("comparison", Comparison)
@pytest.mark.parametrize("measured", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("cpu_decided_by", [None, "G-0.0b"])
def test_a_figure_that_is_not_finite_fails_even_where_it_is_only_reported(
    comparison: Comparison, measured: float, cpu_decided_by: str | None
) -> None:
    assert judge(gate(comparison, cpu_decided_by=cpu_decided_by), measured, Profile.CPU) is Verdict.FAIL


def test_an_absolute_figure_is_reported_on_a_cpu_and_judged_elsewhere() -> None:
    speed = gate(Comparison.AT_LEAST, 25.0, cpu_decided_by="G-0.0b")
    assert judge(speed, 1.0, Profile.CPU) is Verdict.REPORTED
    assert judge(speed, 1.0, Profile.CUDA) is Verdict.FAIL
    assert judge(speed, 25.0, Profile.CUDA) is Verdict.PASS
    assert judge(speed, 1.0) is Verdict.FAIL


def test_exceeding_the_top_of_a_range_passes(gates: Gates) -> None:
    assert judge(gates["G-3.1b"], 1000.0, Profile.M1_16GB) is Verdict.PASS


def test_gates_cannot_be_changed(gates: Gates) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        gates["G-1.2a"].value = 11.0  # type: ignore[misc]


FIRST = 'id = "G-1.2a"'
GATE = """
[[gate]]
id = "G-0.0a"
title = "a gate"
metric = "figure"
comparison = "at_most"
value = 1
unit = "units"
profiles = ["any"]
source = "nowhere"
"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (FIRST, 'id = "G-1.2"', r"^G-1\.2: id: must be a row of the specification and a letter"),
        (FIRST, 'id = ""', "^gate number 1: id: must not be empty"),
        (FIRST, "id = 1", "^gate number 1: id: must be str, not int"),
        (FIRST, "", "^gate number 1: id: missing"),
        (FIRST, 'id = "G-1.2b"', r"^G-1\.2b: id: two gates have this id"),
        ("value = 10\n", "", r"^G-1\.2a: value: missing"),
        ("value = 10\n", 'value = "10"\n', r"^G-1\.2a: value: must be float, not str"),
        ("value = 10\n", "value = true\n", r"^G-1\.2a: value: must be int, not bool"),
        ("value = 10\n", "value = nan\n", r"^G-1\.2a: value: must be a finite number, not nan"),
        ("value = 10\n", "value = 10\nfrom = 1\n", r"^G-1\.2a: from: unknown key"),
        ("value = 10\n", "value = 10\nup_to = 12\n", r"^G-1\.2a: up_to: needs the comparison at_least"),
        ("up_to = 20", "up_to = 9", r"^G-3\.1b: up_to: needs the comparison at_least"),
        ('"at_most"', '"below"', r"^G-1\.2a: comparison: must be one of at_most, at_least, equals, not 'below'"),
        ('["m1-16gb", ', '["m2", ', r"^G-1\.2a: profiles: must be one of m1-16gb"),
        ('profiles = ["any"]', "profiles = []", r"^G-1\.2b: profiles: must not be empty"),
        (
            'cpu_decided_by = "G-1.2c"',
            'cpu_decided_by = "G-1.2z"',
            r"^G-1\.2a: cpu_decided_by: must be a gate of G-1\.2 that decides on a CPU, not G-1\.2z",
        ),
        (
            'cpu_decided_by = "G-1.2c"',
            'cpu_decided_by = "G-2.1c"',
            r"^G-1\.2a: cpu_decided_by: must be a gate of G-1\.2 that decides on a CPU, not G-2\.1c",
        ),
        (
            'cpu_decided_by = "G-2.1c"',
            'cpu_decided_by = "G-2.1a"',
            r"^G-2\.1a: cpu_decided_by: must be a gate of G-2\.1 that decides on a CPU, not G-2\.1a",
        ),
        ('profiles = ["any"]', 'profiles = ["any"]\ncpu_decided_by = "G-1.2c"', r"^G-1\.2b: cpu_decided_by: remove it"),
        ("bandwidth_share = true", "bandwidth_share = 1", r"^G-2\.2b: bandwidth_share: must be bool, not int"),
        ("[profiles.cuda]", "[profiles.rocm]", "^profiles: cuda: missing"),
        ("[profiles.cuda]", '[profiles.rocm]\ntitle = "x"\n[profiles.cuda]', "^profiles: rocm: unknown profile"),
        ('title = "every machine"', "", r"^profiles\.any: title: missing"),
    ],
)
def test_an_invalid_file_is_refused_with_the_gate_and_the_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = GATES_FILE.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "gates.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(GateError, match=message):
        load_gates(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"gates\.toml: add at least one \[\[gate\]\]"),
        ("gate = []", r"gates\.toml: add at least one \[\[gate\]\]"),
        ("gate = [1]", "gate number 1: must be a table"),
        (f"profiles = 1\n{GATE}", "profiles: must be a table"),
        (f"{GATE}\n[profiles]\nm1-16gb = 1", r"profiles\.m1-16gb: must be a table"),
    ],
)
def test_a_file_without_gates_or_profiles_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "gates.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(GateError, match=message):
        load_gates(path)
