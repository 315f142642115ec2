"""The server's last hour: what is kept, how rates are computed, and that neither an error nor time ends it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from pensieve.api import history
from pensieve.api.history import INTERVAL_SECONDS, MAX_SAMPLES, History, Reading


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(clock: Clock) -> History:
    return History(clock)


def reading(generated_tokens: int = 0) -> Reading:
    return Reading(30, 20, generated_tokens, running=2, waiting=1)


def test_an_hour_is_kept_and_no_more(kept: History) -> None:
    assert MAX_SAMPLES * INTERVAL_SECONDS == 3600
    assert kept.last_number == 0
    for _ in range(MAX_SAMPLES + 5):
        kept.add(reading())
    numbers = [sample.number for sample in kept.samples_after(0)]
    assert numbers == list(range(6, MAX_SAMPLES + 6))
    assert kept.last_number == MAX_SAMPLES + 5
    assert [sample.number for sample in kept.samples_after(MAX_SAMPLES + 3)] == [MAX_SAMPLES + 4, MAX_SAMPLES + 5]
    assert kept.samples_after(MAX_SAMPLES + 5) == []


def test_tokens_per_second_are_those_since_the_sample_before(kept: History, clock: Clock) -> None:
    for seconds, tokens in ((0, 500), (10, 700), (10, 700), (20, 900), (-5, 950), (10, 940)):
        clock.now += seconds
        kept.add(reading(tokens))
    assert [sample.tokens_per_second for sample in kept.samples_after(0)] == [0, 20, 0, 10, 0, 0]


def test_a_sample_has_the_figures_and_the_time(kept: History) -> None:
    kept.add(reading())
    (sample,) = kept.samples_after(0)
    assert (sample.time, sample.reserved_bytes, sample.measured_bytes) == (1000.0, 30, 20)
    assert (sample.running, sample.waiting) == (2, 1)


def test_a_reading_that_fails_is_left_out_and_logged(
    kept: History, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(history, "INTERVAL_SECONDS", 0.0)
    calls = iter([ValueError("broken"), None, None])

    def read() -> Reading:
        error = next(calls, asyncio.CancelledError())
        if error is not None:
            raise error
        return reading()

    with caplog.at_level(logging.ERROR), pytest.raises(asyncio.CancelledError):
        asyncio.run(kept.keep(read))
    assert kept.last_number == 2
    assert [record.getMessage() for record in caplog.records] == [
        "the figures of the status page's history could not be read"
    ]
