"""The memo stays within its bounds, and drops the least recently used texts."""

from __future__ import annotations

from pensieve.engine.decoding.bounded_memo import BoundedMemo


def test_a_value_is_computed_once() -> None:
    memo = BoundedMemo[int](2, 100)
    assert memo.get("a", lambda: 1) == 1
    assert memo.get("a", lambda: 2) == 1


def test_the_least_recently_used_text_leaves_first() -> None:
    memo = BoundedMemo[int](2, 100)
    for text in ("a", "b", "a", "c"):
        memo.get(text, lambda: 1)
    assert len(memo) == 2
    assert memo.get("a", lambda: 2) == 1
    assert memo.get("b", lambda: 2) == 2


def test_long_texts_evict_others_and_a_text_over_the_limit_is_not_stored() -> None:
    memo = BoundedMemo[int](100, 10)
    for text in ("abcd", "efgh", "ijkl"):
        memo.get(text, lambda: 1)
    assert len(memo) == 2
    assert memo.get("x" * 11, lambda: 3) == 3
    assert len(memo) == 0
    memo.get("abcd", lambda: 1)
    assert len(memo) == 1
