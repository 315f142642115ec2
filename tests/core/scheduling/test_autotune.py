"""The fastest setting is chosen by timing, and timed again later."""

from __future__ import annotations

from pensieve.core.scheduling.autotune import GIVE_UP_RATIO, RETUNE_AFTER, TRIES, Autotuner


def run(tuner: Autotuner[int], seconds: dict[int, float], num_uses: int) -> list[int]:
    """The settings that are used in turn when each takes the given time."""
    used = []
    for _ in range(num_uses):
        used.append(tuner.choose())
        tuner.note(used[-1], seconds[used[-1]])
    return used


def test_every_setting_is_timed_before_the_faster_one_is_used() -> None:
    used = run(Autotuner((1, 4)), {1: 2.0, 4: 1.0}, 40)
    assert used == [1] * TRIES + [4] * (40 - TRIES)


def test_the_first_setting_stays_if_another_is_hardly_faster() -> None:
    used = run(Autotuner((1, 4)), {1: 1.0, 4: 0.97}, 40)
    assert used == [1] * TRIES + [4] * TRIES + [1] * (40 - 2 * TRIES)


def test_one_slow_time_does_not_decide() -> None:
    tuner = Autotuner((1, 4))
    for number in range(2 * TRIES):
        setting = tuner.choose()
        tuner.note(setting, 50.0 if number == 0 else {1: 1.0, 4: 2.0}[setting])
    assert tuner.choose() == 1


def test_settings_are_timed_again_because_the_machine_may_change() -> None:
    tuner = Autotuner((1, 4))
    run(tuner, {1: 1.0, 4: 2.0}, RETUNE_AFTER)
    used = run(tuner, {1: 2.0, 4: 1.0}, 40)
    assert used[-1] == 4


def test_a_setting_that_takes_many_times_as_long_is_tried_once_and_ever_more_rarely() -> None:
    used = run(Autotuner((1, 4)), {1: 1.0, 4: 10 * GIVE_UP_RATIO}, 16 * RETUNE_AFTER)
    tried_at = [number // RETUNE_AFTER for number, setting in enumerate(used) if setting == 4]
    assert tried_at == [0, 2, 6, 14]


def test_a_setting_that_was_given_up_is_used_once_it_is_faster() -> None:
    tuner = Autotuner((1, 4))
    run(tuner, {1: 1.0, 4: 10.0}, 2 * RETUNE_AFTER)
    assert run(tuner, {1: 1.0, 4: 0.5}, 40)[-1] == 4


def test_a_slow_time_of_the_setting_in_use_does_not_give_it_up() -> None:
    tuner = Autotuner((1, 4))
    run(tuner, {1: 1.0, 4: 0.5}, RETUNE_AFTER)
    assert tuner.choose() == 4
    tuner.note(4, 50.0)
    assert run(tuner, {1: 1.0, 4: 0.5}, 40)[-1] == 4


def test_a_setting_that_may_not_be_used_is_not_tried() -> None:
    tuner = Autotuner((1, 2, 4))
    used = []
    for _ in range(40):
        used.append(tuner.choose(lambda setting: setting < 4))
        tuner.note(used[-1], {1: 2.0, 2: 1.0}[used[-1]])
    assert used == [1] * TRIES + [2] * (40 - TRIES)


def test_the_best_of_those_that_may_be_used_takes_the_place_of_the_best() -> None:
    tuner = Autotuner((1, 2, 4))
    run(tuner, {1: 3.0, 2: 2.0, 4: 1.0}, 40)
    assert tuner.choose(lambda setting: setting < 4) == 2
    assert tuner.best(lambda setting: setting < 2) == 1
    assert tuner.choose() == tuner.best() == 4
