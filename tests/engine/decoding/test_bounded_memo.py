"""The memo stays within its bytes, and drops the least recently used values."""

from __future__ import annotations

import pytest

from pensieve.engine.decoding.bounded_memo import BoundedMemo


def memo_of(num_values: int) -> BoundedMemo[int]:
    """Room for this many values of 1,000 bytes."""
    return BoundedMemo(1300 * num_values, lambda value: 1000 * value)


def test_a_value_is_computed_once() -> None:
    memo = memo_of(2)
    assert memo.get("a", lambda: 1) == 1
    assert memo.get("a", lambda: 2) == 1


def test_the_least_recently_used_value_leaves_first() -> None:
    memo = memo_of(2)
    for text in ("a", "b", "a", "c"):
        memo.get(text, lambda: 1)
    assert len(memo) == 2
    assert memo.get("a", lambda: 2) == 1
    assert memo.get("b", lambda: 2) == 2


def test_large_values_evict_others_and_one_over_the_limit_evicts_nothing() -> None:
    memo = memo_of(3)
    for text in ("a", "b", "c"):
        memo.get(text, lambda: 1)
    assert memo.get("large", lambda: 2) == 2
    assert len(memo) == 2
    assert memo.num_bytes <= 3900
    assert memo.get("too large", lambda: 4) == 4
    assert len(memo) == 2
    assert memo.get("c", lambda: 9) == 1


def test_long_texts_take_no_room() -> None:
    memo = memo_of(2)
    for text in ("x" * 1_000_000, "y" * 1_000_000, "\ud800"):
        memo.get(text, lambda: 1)
    assert len(memo) == 2


def test_a_failure_is_not_remembered() -> None:
    memo = memo_of(1)
    with pytest.raises(ZeroDivisionError):
        memo.get("a", lambda: 1 // 0)
    assert memo.get("a", lambda: 1) == 1


def test_values_that_grow_are_measured_again() -> None:
    memo: BoundedMemo[list[int]] = BoundedMemo(2600, lambda value: 1000 * len(value))
    first = memo.get("a", lambda: [1])
    memo.get("b", lambda: [1])
    first.append(2)
    memo.measure_again()
    assert memo.get("b", lambda: [2]) == [1]
    assert memo.num_bytes < 2600
    assert memo.get("a", lambda: [3]) == [3]
