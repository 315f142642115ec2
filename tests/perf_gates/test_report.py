"""The report of a run: which gates fail, which were not measured, and the columns for roofline and last figure."""

from __future__ import annotations

import pytest

from contracts.gates import Profile
from perf_gates.reporting.report import Report


def test_a_failed_gate_is_named_and_stays_in_the_table() -> None:
    report = Report(Profile.CPU)
    with pytest.raises(AssertionError, match=r"G-3\.1h the server reaches .* expected >= 0\.98 ratio, actual 0\.5"):
        report.judge("G-3.1h", 0.5)
    assert "| 0.5 | | | fail |" in report.as_markdown().replace("  ", " ")


def test_an_absolute_figure_decides_on_a_gpu_and_is_only_reported_on_a_cpu() -> None:
    Report(Profile.CPU).judge("G-3.1a", 5000)
    with pytest.raises(AssertionError, match=r"G-3\.1a"):
        Report(Profile.CUDA).judge("G-3.1a", 5000)


@pytest.mark.parametrize(
    ("profile", "size", "failing"),
    [
        (Profile.M1_16GB, "6.7B, 4-bit", "G-3.1b"),
        (Profile.M1_16GB, "3-4B, 4-bit", "G-3.1c"),
        (Profile.M1_PRO_16GB, "6.7B, 4-bit", "G-3.1d"),
        (Profile.CUDA, "6.7B, 4-bit", "G-3.1e"),
    ],
)
def test_a_speed_is_judged_by_the_gate_of_its_machine_and_model(profile: Profile, size: str, failing: str) -> None:
    with pytest.raises(AssertionError) as raised:
        Report(profile, model_size=size).judge_metric("tokens_per_second", 9)
    assert str(raised.value).startswith(failing)
    assert ";" not in str(raised.value)


@pytest.mark.parametrize("profile", [Profile.M1_16GB, Profile.M1_PRO_16GB, Profile.CUDA, Profile.CPU])
def test_the_speed_of_a_model_without_a_gate_is_only_reported(profile: Profile) -> None:
    report = Report(profile)
    report.judge_metric("tokens_per_second", 1)
    assert report.rows
    assert {row.verdict.value for row in report.rows} == {"reported"}


def test_speeds_and_intervals_are_shown_as_a_share_of_the_roofline() -> None:
    report = Report(Profile.CUDA, limit_tokens_per_second=100)
    report.judge_metric("tokens_per_second", 50)
    report.judge_metric("p95_token_interval_ms", 40)
    assert [report.roofline_share(row) for row in report.rows] == [0.5, 0.25]
    assert "| 50% |" in report.as_markdown()


def test_unmeasured_gates_are_listed_and_long_ones_marked_on_demand() -> None:
    table = Report(Profile.CUDA).as_markdown().splitlines()
    assert any(line.startswith("| G-3.3a") and line.endswith("| on demand |") for line in table)
    assert any(line.startswith("| G-3.1e") and line.endswith("| not measured |") for line in table)
    assert not any(line.startswith("| G-3.1h") for line in table)


def test_a_figure_is_shown_with_the_last_one_and_the_change() -> None:
    report = Report(Profile.CUDA)
    report.judge("G-3.1a", 150)
    assert "| 100 (+50%) |" in report.as_markdown({"G-3.1a": 100.0})
