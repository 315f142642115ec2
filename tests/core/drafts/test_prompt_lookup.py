"""Drafts from earlier text, and when a better source replaces the current one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pensieve.core.drafts.prompt_lookup import MAX_INDEXED_TOKENS, MAX_MATCH_LENGTH, PromptLookup


def test_text_without_repetition_gives_no_draft() -> None:
    lookup = PromptLookup(list(range(50)))
    assert not lookup.has_source
    assert lookup.draft(8) == []
    assert lookup.add(77) is None


def test_a_repeated_text_is_drafted_to_continue_as_before() -> None:
    lookup = PromptLookup([1, 2, 3, 4, 5, 6, 9, 1, 2])
    assert lookup.draft(4) == [3, 4, 5, 6]
    assert lookup.match_length == 2
    assert lookup.add(3) is True
    assert lookup.draft(3) == [4, 5, 6]
    assert lookup.match_length == 3


def test_a_draft_repeats_itself_where_the_text_ends() -> None:
    assert PromptLookup([7, 1, 2, 3, 1, 2, 3]).draft(8) == [1, 2, 3, 1, 2, 3, 1, 2]


def test_after_a_replaced_token_the_old_text_is_drafted() -> None:
    lookup = PromptLookup([10, 11, 12, 13, 14, 15, 99, 10, 11])
    assert lookup.add(77) is False
    assert lookup.match_length == 0
    assert lookup.draft(3) == [13, 14, 15]


def test_a_source_with_a_longer_match_replaces_the_current_one() -> None:
    lookup = PromptLookup([5, 1, 2, 3, 30, 31, 8, 2, 3, 40, 41, 5, 1, 2])
    assert lookup.draft(1) == [3]
    lookup.add(3)
    assert lookup.draft(2) == [30, 31], "four tokens match there, and two at the later position"


def test_only_the_end_of_a_very_long_prompt_is_indexed() -> None:
    prompt = [1, 2, 3, *range(10, 10 + MAX_INDEXED_TOKENS), 1, 2]
    lookup = PromptLookup(prompt)
    assert not lookup.has_source
    lookup.add(3)
    assert lookup.num_tokens == len(prompt) + 1


@given(st.lists(st.integers(0, 3), max_size=60), st.lists(st.integers(0, 3), max_size=60))
def test_the_text_before_a_source_matches(prompt: list[int], answer: list[int]) -> None:
    lookup = PromptLookup(prompt)
    text = list(prompt)
    for token_id in answer:
        predicted = lookup.draft(1)
        assert lookup.add(token_id) == (predicted == [token_id] if predicted else None)
        text.append(token_id)
        length = lookup.match_length
        assert 0 <= length <= MAX_MATCH_LENGTH
        draft = lookup.draft(5)
        if draft and length:
            end = text[len(text) - length :]
            places = [place for place in range(length, len(text)) if text[place - length : place] == end]
            assert any(text[place] == draft[0] for place in places)
        assert lookup.num_tokens == len(text)


@given(st.lists(st.integers(0, 4), max_size=80))
def test_indexing_a_prompt_at_once_equals_adding_its_tokens(tokens: list[int]) -> None:
    at_once, by_token = PromptLookup(tokens), PromptLookup([])
    for token_id in tokens:
        by_token.add(token_id)
    assert at_once._after_pair == by_token._after_pair
    assert at_once._after_triple == by_token._after_triple
