"""The texts of PDFs that are kept have a bound."""

from pensieve.api.pdfs.memo import ExtractMemo


def test_the_texts_used_last_are_kept() -> None:
    memo = ExtractMemo(max_characters=1000)
    for data in ("a", "b"):
        memo.add(data, {"text": "x" * 200})
    memo.get("a")
    memo.add("c", {"text": "x" * 200})
    assert [memo.get(data) is not None for data in "abc"] == [True, False, True]


def test_a_text_that_is_larger_than_the_bound_is_not_kept() -> None:
    memo = ExtractMemo(max_characters=1000)
    memo.add("a", {"text": "x" * 1000})
    assert memo.get("a") is None


def test_a_text_is_found_in_its_own_namespace_only() -> None:
    memo = ExtractMemo()
    memo.add("a", {"text": "x"}, "alice")
    assert [memo.get("a", namespace) for namespace in ("alice", "bob", "")] == [{"text": "x"}, None, None]
