"""The chosen draft length, for pass costs measured on other machines."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pensieve.core.drafts.length import MIN_GAIN, WIDTHS, MatchAcceptance, PassCosts, best_width

GPU = {1: 7.2, 2: 12.1, 3: 15.4, 4: 19.2, 6: 26.6, 8: 15.8, 12: 15.8, 16: 15.9, 24: 19.2, 32: 22.5}
"""Milliseconds on an H200, of a 6.7B model in 4 bits."""
CPU = {1: 55.0, 2: 63.0, 3: 70.0, 4: 78.0, 6: 93.0, 8: 104.0, 12: 126.0, 16: 146.0, 24: 190.0, 32: 240.0}


def learned(table: Mapping[int, float]) -> PassCosts:
    costs = PassCosts()
    for width, cost in table.items():
        costs.note(width, 60.0)  # the first pass compiles kernels
        costs.note(width, cost)
    return costs


def rows(chance: float, *, max_tokens: int = 31) -> list[float]:
    sums = [1.0]
    for power in range(1, max_tokens + 1):
        sums.append(sums[-1] + chance**power)
    return sums


def test_on_a_gpu_a_draft_is_long_or_absent() -> None:
    chosen = {best_width([rows(chance / 20)], learned(GPU).seconds) for chance in range(21)}
    assert chosen.isdisjoint({2, 3, 4, 6}), "these widths cost more than sixteen"
    assert {1, 32} <= chosen


@pytest.mark.parametrize("table", [GPU, CPU])
def test_a_higher_acceptance_rate_gives_a_longer_draft(table: Mapping[int, float]) -> None:
    widths = [best_width([rows(chance / 20)], learned(table).seconds) for chance in range(21)]
    assert widths == sorted(widths)
    assert (widths[0], widths[-1]) == (1, WIDTHS[-1])


def test_the_chosen_width_beats_plain_decoding() -> None:
    costs = learned(CPU)
    for chance in range(21):
        expected = rows(chance / 20)
        width = best_width([expected], costs.seconds)
        assert width == 1 or expected[width - 1] / CPU[width] >= MIN_GAIN / CPU[1]


def test_one_copying_row_does_not_slow_seven_others() -> None:
    copying, others = rows(0.95), [[1.0]] * 7
    assert best_width([copying], learned(CPU).seconds) > 1
    assert best_width([copying, *others], learned(CPU).seconds) == 1


def test_nothing_is_drafted_before_a_plain_pass_is_timed() -> None:
    assert best_width([rows(1.0)], PassCosts().seconds) == 1


def test_the_first_pass_of_a_width_does_not_count() -> None:
    costs = learned({1: 10.0})
    costs.note(8, 5000.0)
    assert costs.seconds(8) == pytest.approx(10.0 + 7 * 0.8)


def test_one_slow_pass_among_several_changes_nothing() -> None:
    costs = learned({1: 10.0})
    for seconds in (10.0, 10.0, 900.0, 10.0):
        costs.note(1, seconds)
    assert costs.seconds(1) == 10.0


def test_an_untimed_width_is_interpolated() -> None:
    assert learned({1: 10.0, 4: 40.0, 8: 20.0}).seconds(6) == pytest.approx(30.0)


def test_a_stale_width_is_tried_again() -> None:
    costs = learned({1: 10.0, 8: 1000.0})
    for _ in range(400):
        costs.note(1, 10.0)
    assert costs.seconds(8) == pytest.approx(10.0 + 7 * 0.8)


def test_a_request_stops_drafting_when_drafts_fail_and_resumes_later() -> None:
    acceptance, costs = MatchAcceptance(), learned(CPU)

    def width() -> int:
        return best_width([acceptance.expected(6, 31)], costs.seconds)

    assert width() > 1
    for _ in range(20):
        acceptance.note(6, hit=False)
    assert width() == 1
    for _ in range(40):
        acceptance.note(6, hit=True)
    assert width() > 1


def test_longer_matches_start_with_a_higher_acceptance_rate() -> None:
    chances = [MatchAcceptance().chance(length) for length in range(40)]
    assert chances == sorted(chances)
    assert all(0.0 < chance < 1.0 for chance in chances)


def test_a_repetitive_prompt_raises_the_starting_rates_and_none_lowers_them() -> None:
    repeated, never = MatchAcceptance(), MatchAcceptance()
    for _ in range(10):
        repeated.note(2, hit=True)
        never.note(2, hit=False)
    usual = MatchAcceptance().chance(2)
    assert repeated.as_prior().chance(2) > 0.7 > usual
    assert never.as_prior().chance(2) == usual
    assert repeated.as_prior().chance(8) == MatchAcceptance().chance(8), "lengths that did not occur keep their prior"


def test_the_rates_of_a_prompt_soon_yield_to_those_of_the_answer() -> None:
    prompt, usual = MatchAcceptance(), MatchAcceptance()
    for _ in range(200):
        prompt.note(4, hit=True)
    row = prompt.as_prior()
    for acceptance in (row, usual):
        for _ in range(6):
            acceptance.note(4, hit=False)
    assert row.chance(4) < 0.35
    assert row.chance(4) - usual.chance(4) < 0.15
