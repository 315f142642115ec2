"""What is written when, and which prefixes may use more of a day's writes."""

from __future__ import annotations

import pytest

from pensieve.core.prefixes.worth import MIN_TOKENS, SOON_TOKENS, PromptWorth, Worth, is_snapshot_due


@pytest.mark.parametrize(
    ("num_tokens", "num_read", "system_tokens", "end", "expected"),
    [
        (SOON_TOKENS - 1, 0, 0, 256, Worth.SHORT),
        (SOON_TOKENS - 1, 0, 500, 256, Worth.SHORT),
        (SOON_TOKENS, 0, 0, 256, Worth.LONG),
        (SOON_TOKENS, 0, 512, 512, Worth.SYSTEM),
        (SOON_TOKENS, 0, 512, 768, Worth.LONG),
        (SOON_TOKENS, 512, 512, 768, Worth.LONG),  # another conversation with the same system text
        (SOON_TOKENS, 512 + MIN_TOKENS, 512, 768, Worth.READ_AGAIN),
        (300, MIN_TOKENS, 0, 256, Worth.READ_AGAIN),
        (300, MIN_TOKENS - 1, 0, 256, Worth.SHORT),
    ],
)
def test_worth_follows_from_length_reads_and_system_text(
    num_tokens: int, num_read: int, system_tokens: int, end: int, expected: Worth
) -> None:
    assert PromptWorth(num_tokens, num_read, system_tokens).of(end) is expected


def test_what_is_worth_more_may_use_more_of_the_day_and_only_the_best_all_of_it() -> None:
    shares = [worth.value for worth in (Worth.SHORT, Worth.LONG, Worth.SYSTEM, Worth.READ_AGAIN)]
    assert shares == sorted(set(shares))
    assert shares[-1] == 1.0


def test_the_snapshots_of_a_growing_conversation_add_up_to_a_few_times_the_last_one() -> None:
    """No layer can be cut: each is as long as all before it, and one could be written at every turn."""
    stored, written = 0, 0
    for num_tokens in range(500, 100_000, 500):
        if is_snapshot_due(num_tokens, stored, num_tokens, bytes_per_token=0):
            stored, written = num_tokens, written + num_tokens
    assert written < 5 * stored
    assert stored > 0.75 * 99_500


def test_the_states_of_a_growing_conversation_take_no_more_than_the_layers_that_can_be_cut() -> None:
    """Of Qwen3.5-9B. Little is computed again when a kill loses what came after the last one."""
    state_bytes, per_token = 51 << 20, 32 << 10
    stored, written, longest = 0, 0, 0
    for num_tokens in range(500, 100_000, 500):
        longest = max(longest, num_tokens - stored)
        if is_snapshot_due(num_tokens, stored, state_bytes, per_token):
            stored, written = num_tokens, written + state_bytes
    assert written <= per_token * stored
    assert longest <= 2000


def test_a_short_prompt_is_no_snapshot_to_write_now() -> None:
    for per_token in (0, 1):
        assert not is_snapshot_due(SOON_TOKENS - 1, 0, 1, per_token)
        assert is_snapshot_due(SOON_TOKENS, 0, 1, per_token)
        assert not is_snapshot_due(SOON_TOKENS, 1, 1, per_token)
