"""A soak of seconds: with kills, stopped clients and a full disk, no answer is wrong and no request fails."""

from __future__ import annotations

from pathlib import Path

from tests.soak.plan import Plan
from tests.soak.record import Record
from tests.soak.run import Run
from tests.soak.server import Level
from tests.soak.verdict import error_share, growth

SECONDS = 12.0


def test_no_answer_is_wrong_and_no_request_fails_but_those_that_a_kill_cut_off(tmp_path: Path) -> None:
    run = Run(Plan(SECONDS, with_embedded=False), tmp_path)
    run.play()
    assert run.unstable == []
    for record in (run.steady, run.killed):
        assert record.total("right") > 0
        assert (record.total("wrong"), record.total("failed")) == (0, 0), record.as_json()
    assert run.killed.notes["killed"]
    assert run.measured


def test_growth_beyond_two_per_cent_is_named() -> None:
    before = Level(1000, 1000, 10, 10)
    assert list(growth(before, Level(1020, 1020, 12, 12))) == []
    assert len(list(growth(before, Level(1021, 1021, 13, 13)))) == 4


def test_the_share_of_errors_leaves_out_what_a_kill_cut_off() -> None:
    record = Record()
    for outcome, number in {"right": 98, "wrong": 1, "failed": 1, "cut": 100}.items():
        for _ in range(number):
            record.count("plain", outcome)
    assert error_share(record) == 0.01
