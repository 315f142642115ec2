"""Which ends of a server are crashes, and how often it is started again."""

from __future__ import annotations

import signal

import pytest

from pensieve.cli.serve.crashes import CALM_SECONDS, EXIT_SOFTWARE, PAUSES_SECONDS, Crashes, is_crash


@pytest.mark.parametrize("status", [0, 2, 130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP])
@pytest.mark.parametrize("was_ready", [True, False])
def test_a_server_that_ended_on_purpose_has_not_crashed(status: int, was_ready: bool) -> None:  # noqa: FBT001
    assert not is_crash(status, was_ready=was_ready)


@pytest.mark.parametrize("status", [EXIT_SOFTWARE, -signal.SIGABRT, -signal.SIGSEGV, -signal.SIGKILL])
@pytest.mark.parametrize("was_ready", [True, False])
def test_a_signal_or_a_lost_engine_is_a_crash(status: int, was_ready: bool) -> None:  # noqa: FBT001
    assert is_crash(status, was_ready=was_ready)


def test_a_failure_is_that_of_the_settings_only_if_the_server_was_never_ready() -> None:
    assert not is_crash(1, was_ready=False)
    assert is_crash(1, was_ready=True)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_pauses_grow_and_then_it_is_over() -> None:
    crashes = Crashes(clock=Clock())
    assert [crashes.pause_seconds() for _ in range(5)] == [*PAUSES_SECONDS, None]
    assert sorted(PAUSES_SECONDS) == list(PAUSES_SECONDS)


def test_an_answer_in_between_starts_the_count_again() -> None:
    crashes = Crashes(clock=Clock())
    for _ in range(20):
        assert crashes.pause_seconds() == PAUSES_SECONDS[0]
        crashes.note_answer()


def test_a_server_that_ran_for_long_starts_the_count_again() -> None:
    clock = Clock()
    crashes = Crashes(clock=clock)
    for _ in range(20):
        crashes.note_start()
        clock.now += CALM_SECONDS
        assert crashes.pause_seconds() == PAUSES_SECONDS[0]
