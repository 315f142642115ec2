"""A stall is longer than the engine's own pace explains."""

from __future__ import annotations

import math

from pensieve.core.scheduling.stall import SLOWEST_STEPS, UNMEASURED, StallClock


class Engine:
    """Advances by a second at a time, and counts the seconds until a stall."""

    def __init__(self, min_seconds: float = 10.0, slowest_step_seconds: float = 0.1) -> None:
        self.clock = StallClock(min_seconds)
        self.slowest_step_seconds = slowest_step_seconds
        self.num_produced = 0

    def second(self, *, has_work: bool = True) -> bool:
        return self.clock.tick(
            1.0,
            has_work=has_work,
            num_produced=self.num_produced,
            slowest_step_seconds=self.slowest_step_seconds,
        )

    def seconds_until_stall(self, max_seconds: int = 10_000) -> float:
        return next((number for number in range(1, max_seconds) if self.second()), math.inf)


def test_work_without_progress_is_a_stall_after_the_minimum() -> None:
    assert Engine(10.0).seconds_until_stall() == 10


def test_an_engine_without_work_never_stalls() -> None:
    engine = Engine()
    assert not any(engine.second(has_work=False) for _ in range(1000))


def test_every_step_that_produces_something_starts_the_count_again() -> None:
    engine = Engine(10.0)
    for _ in range(100):
        assert not any(engine.second() for _ in range(9))
        engine.num_produced += 1
        assert not engine.second()


def test_work_that_arrives_after_an_idle_hour_has_the_whole_time() -> None:
    engine = Engine(10.0)
    for _ in range(3600):
        engine.second(has_work=False)
    assert engine.seconds_until_stall() == 10


def test_a_machine_with_slow_steps_has_longer() -> None:
    assert Engine(10.0, slowest_step_seconds=4.0).seconds_until_stall() == SLOWEST_STEPS * 4


def test_the_first_step_of_all_has_longer() -> None:
    assert Engine(10.0, slowest_step_seconds=0.0).seconds_until_stall() == UNMEASURED * 10


def test_without_a_limit_nothing_is_a_stall() -> None:
    assert Engine(math.inf).seconds_until_stall() == math.inf
