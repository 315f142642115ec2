"""What passes cost with one number of rows is expected of others."""

from __future__ import annotations

import pytest

from pensieve.core.drafts.length import best_width
from pensieve.engine.speculation.pass_costs import Pace

COPYING = [1.0 + 0.3 * num_drafted for num_drafted in range(8)]
"""The tokens that a row expects of a pass, by how many are drafted."""


def timed(pace: Pace, num_rows: int, seconds: dict[int, float]) -> None:
    for width, cost in seconds.items():
        for _ in range(2):  # the first pass of a width does not count
            pace.costs(num_rows).note(width, cost)


def test_a_width_that_is_slow_with_sixteen_rows_is_not_tried_with_fifteen() -> None:
    pace = Pace()
    timed(pace, 15, {1: 0.03})
    assert best_width([COPYING] * 15, pace.costs(15).seconds) > 1, "nothing is known yet"
    timed(pace, 16, {1: 0.04, **dict.fromkeys((2, 3, 4, 6, 8), 0.16)})
    assert pace.costs(15).seconds(4) == pytest.approx(0.12)
    assert best_width([COPYING] * 15, pace.costs(15).seconds) == 1


def test_the_nearest_number_of_rows_decides() -> None:
    pace = Pace()
    timed(pace, 1, {1: 1.0, 4: 1.1})
    timed(pace, 8, {1: 1.0, 4: 3.0})
    timed(pace, 7, {1: 2.0})
    timed(pace, 2, {1: 2.0})
    assert pace.costs(7).seconds(4) == pytest.approx(6.0)
    assert pace.costs(2).seconds(4) == pytest.approx(2.2)


def test_what_was_timed_with_the_same_number_of_rows_counts_more() -> None:
    pace = Pace()
    timed(pace, 16, {1: 1.0, 4: 5.0})
    timed(pace, 15, {1: 1.0, 4: 1.5})
    assert pace.costs(15).seconds(4) == 1.5


def test_what_was_timed_long_ago_elsewhere_is_forgotten() -> None:
    """The machine may have been busy then."""
    pace = Pace()
    timed(pace, 16, {1: 1.0, 4: 5.0})
    timed(pace, 15, {1: 1.0})
    for _ in range(400):
        pace.costs(15).note(1, 1.0)
    assert pace.costs(15).seconds(4) == pytest.approx(1.24)
