"""Writes are counted for 24 hours, by all processes together, and limited by what a prefix is worth."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.values.measurements import DiskWrites
from pensieve.core.prefixes.worth import Worth
from pensieve.engine.prompt_cache.disk.write_budget import FILE, WriteBudget

HOUR = 3600.0
MB = 10**6


class Clock:
    def __init__(self) -> None:
        self.now = 500_000 * HOUR

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_bytes_count_for_24_hours_and_no_longer_than_25(tmp_path: Path, clock: Clock) -> None:
    budget = WriteBudget(tmp_path, 100, clock=clock)
    budget.spend(60)
    clock.now += HOUR
    budget.spend(30)
    assert budget.usage() == DiskWrites(90, 100, 0)
    clock.now += 23 * HOUR
    assert budget.usage().day_bytes == 90
    clock.now += HOUR
    assert budget.usage().day_bytes == 30
    clock.now += HOUR
    assert budget.usage().day_bytes == 0


def test_the_count_survives_a_restart_and_is_shared_by_processes(tmp_path: Path, clock: Clock) -> None:
    one, other = (WriteBudget(tmp_path, 100, clock=clock) for _ in range(2))
    one.spend(40)
    other.spend(20)
    one.refresh()
    assert one.usage().day_bytes == other.usage().day_bytes == 60
    assert WriteBudget(tmp_path, clock=clock).usage() == DiskWrites(60, None, 0)


def test_what_is_worth_most_is_written_last_of_all_and_the_rest_is_one_line_in_the_log(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    budget = WriteBudget(tmp_path, 100 * MB, clock=clock)
    written: dict[Worth, int] = {}
    for worth in Worth:
        while budget.allows(MB, worth):
            budget.spend(MB)
        written[worth] = budget.usage().day_bytes // MB
    assert written == {Worth.SHORT: 25, Worth.LONG: 50, Worth.SYSTEM: 75, Worth.READ_AGAIN: 100}
    assert budget.usage().skipped_bytes == 4 * MB
    assert len(caplog.records) == 1
    assert "0.03 of the 0.10 GB" in caplog.text
    clock.now += 25 * HOUR
    assert budget.allows(MB, Worth.SHORT)
    assert not budget.allows(101 * MB, Worth.READ_AGAIN)
    assert len(caplog.records) == 2


def test_what_waits_to_be_written_counts(tmp_path: Path, clock: Clock) -> None:
    budget = WriteBudget(tmp_path, 100, clock=clock)
    assert budget.allows(40, Worth.READ_AGAIN, waiting_bytes=60)
    assert not budget.allows(40, Worth.READ_AGAIN, waiting_bytes=61)


def test_no_budget_writes_nothing_and_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert not WriteBudget(tmp_path, 0).allows(1, Worth.READ_AGAIN)
    assert WriteBudget(tmp_path, None).allows(1 << 60, Worth.SHORT)
    assert not caplog.records


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"x": 1}', b'{"1": null}', b"\xff"])
def test_a_damaged_count_starts_again(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    budget = WriteBudget(tmp_path, 100)
    assert budget.usage().day_bytes == 0
    budget.spend(10)
    assert WriteBudget(tmp_path).usage().day_bytes == 10


def test_hours_of_a_clock_that_was_wrong_do_not_stop_all_writing(tmp_path: Path, clock: Clock) -> None:
    hour = int(clock() // HOUR)
    (tmp_path / FILE).write_text(json.dumps({hour + 1: 50, hour + 9999: 50, hour: 7}), encoding="utf-8")
    assert WriteBudget(tmp_path, 100, clock=clock).usage().day_bytes == 7


def test_the_file_stays_small(tmp_path: Path, clock: Clock) -> None:
    budget = WriteBudget(tmp_path, clock=clock)
    for _ in range(100):
        budget.spend(10**9)
        clock.now += HOUR
    assert (tmp_path / FILE).stat().st_size < 1000
