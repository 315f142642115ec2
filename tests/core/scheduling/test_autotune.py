"""What is quickest is found out by timing, and found out again."""

from __future__ import annotations

from pensieve.core.scheduling.autotune import TRIED_AGAIN_AFTER, TRIES, Autotuner


def worked(quickest: Autotuner[int], seconds: dict[int, float], num_uses: int) -> list[int]:
    """The settings that were used, one after the other, on a machine on which they take so long."""
    used = []
    for _ in range(num_uses):
        used.append(quickest.choose())
        quickest.note(used[-1], seconds[used[-1]])
    return used


def test_each_setting_is_tried_before_the_quicker_one_is_used() -> None:
    used = worked(Autotuner((1, 4)), {1: 2.0, 4: 1.0}, 40)
    assert used == [1] * TRIES + [4] * (40 - TRIES)


def test_the_first_is_kept_where_another_is_hardly_quicker() -> None:
    used = worked(Autotuner((1, 4)), {1: 1.0, 4: 0.97}, 40)
    assert used == [1] * TRIES + [4] * TRIES + [1] * (40 - 2 * TRIES)


def test_one_slow_time_among_many_decides_nothing() -> None:
    quickest = Autotuner((1, 4))
    for number in range(2 * TRIES):
        setting = quickest.choose()
        quickest.note(setting, 50.0 if number == 0 else {1: 1.0, 4: 2.0}[setting])
    assert quickest.choose() == 1


def test_all_are_tried_again_when_the_machine_may_have_changed() -> None:
    quickest = Autotuner((1, 4))
    worked(quickest, {1: 1.0, 4: 2.0}, TRIED_AGAIN_AFTER)
    used = worked(quickest, {1: 2.0, 4: 1.0}, 40)
    assert used[-1] == 4
