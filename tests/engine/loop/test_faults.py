"""Which faults the generation loop survives."""

from __future__ import annotations

import logging

import pytest

from pensieve.engine.loop.faults import LOG_INTERVAL_SECONDS, MAX_FAILED_REQUESTS, MAX_IN_A_ROW, Faults, LoopFailedError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def raised(note: str, faults: Faults, request: object = None) -> None:
    """Handle one exception."""
    try:
        1 // 0  # noqa: B018 - it raises
    except ZeroDivisionError:
        if request is None:
            faults.count(note)
        else:
            faults.fail(note, request)


def test_several_faults_without_a_token_in_between_end_the_loop() -> None:
    faults = Faults()
    for _ in range(MAX_IN_A_ROW - 1):
        raised("a step", faults)
    with pytest.raises(LoopFailedError, match="a step failed"):
        raised("a step", faults)


def test_a_token_in_between_starts_the_count_again() -> None:
    faults = Faults()
    for _ in range(10 * MAX_IN_A_ROW):
        raised("a step", faults)
        faults.note_token()


def test_different_requests_that_fail_in_a_row_end_the_loop() -> None:
    faults = Faults()
    for number in range(MAX_FAILED_REQUESTS - 1):
        raised("admitting", faults, number)
    with pytest.raises(LoopFailedError, match="different requests"):
        raised("admitting", faults, "another")


def test_a_client_that_repeats_its_request_cannot_end_the_loop() -> None:
    faults = Faults()
    for _ in range(100):
        raised("admitting", faults, "the same")


def test_a_completed_answer_shows_that_the_requests_were_at_fault() -> None:
    faults = Faults()
    for number in range(100):
        raised("admitting", faults, number)
        if number % (MAX_FAILED_REQUESTS - 1) == 0:
            faults.note_answer()


def test_a_fault_that_repeats_at_every_step_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    faults = Faults(clock)
    for _ in range(300):
        with faults.contained("storing"):
            raise RuntimeError("planted")
        clock.now += 1
    records = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(records) == 300 / LOG_INTERVAL_SECONDS
    assert all(record.exc_info is not None for record in records)


def test_what_ends_a_thread_is_not_contained() -> None:
    with pytest.raises(SystemExit), Faults().contained("storing"):
        raise SystemExit(1)
