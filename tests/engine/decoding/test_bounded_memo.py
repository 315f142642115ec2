from pensieve.engine.decoding.bounded_memo import BoundedMemo


def test_a_value_is_made_once() -> None:
    memo = BoundedMemo[int](2, 100)
    assert memo.get("a", lambda: 1) == 1
    assert memo.get("a", lambda: 2) == 1


def test_what_was_used_longest_ago_goes_first() -> None:
    memo = BoundedMemo[int](2, 100)
    for text in ("a", "b", "a", "c"):
        memo.get(text, lambda: 1)
    assert len(memo) == 2
    assert memo.get("a", lambda: 2) == 1
    assert memo.get("b", lambda: 2) == 2


def test_long_texts_push_others_out_and_one_that_is_too_long_is_not_kept() -> None:
    memo = BoundedMemo[int](100, 10)
    for text in ("abcd", "efgh", "ijkl"):
        memo.get(text, lambda: 1)
    assert len(memo) == 2
    assert memo.get("x" * 11, lambda: 3) == 3
    assert len(memo) == 0
    memo.get("abcd", lambda: 1)
    assert len(memo) == 1
