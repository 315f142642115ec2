"""Whether a draft model pays: its acceptance rate, and the budget for trying it again."""

import pytest

from pensieve.core.drafts.worth import MIN_CHANCE, AcceptanceRate, DraftBudget


def test_a_rate_starts_where_it_is_set_and_follows_what_is_noted() -> None:
    rate = AcceptanceRate(0.5)
    assert rate.chance == pytest.approx(0.5)
    for _ in range(200):
        rate.note(4, 4)
    assert rate.chance > 0.99
    for _ in range(200):
        rate.note(0, 4)
    assert rate.chance < 0.01


def test_tokens_after_the_first_rejected_one_are_not_counted() -> None:
    one, other = AcceptanceRate(), AcceptanceRate()
    one.note(2, 3)
    other.note(2, 9)
    assert one.chance == other.chance


def test_another_token_is_expected_to_add_less_than_the_one_before() -> None:
    expected = AcceptanceRate(0.8).expected(5)
    assert expected == pytest.approx([1, 1.8, 2.44, 2.952, 3.3616, 3.68928])


def test_a_draft_ends_where_its_next_token_is_unlikely() -> None:
    assert AcceptanceRate(0.4).expected(9) == pytest.approx([1, 1.4, 1.56])
    assert AcceptanceRate(MIN_CHANCE - 0.01).expected(9) == [1]


def test_plain_decoding_pays_for_lost_time_but_not_in_advance() -> None:
    budget = DraftBudget()
    budget.note_plain(1000)
    budget.note_trial(0.5, 0.1, hit=True)
    assert budget.seconds == 0.5
    budget.note_plain(20)
    assert budget.seconds == pytest.approx(0.3)


def test_a_failed_trial_costs_a_quarter_of_a_plain_pass_at_least() -> None:
    budget = DraftBudget()
    budget.note_trial(-1, 4, hit=False)
    assert budget.seconds == 1
    budget.note_trial(-0.4, 4, hit=True)
    assert budget.seconds == pytest.approx(0.6)
