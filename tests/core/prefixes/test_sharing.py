"""A request waits for another's prefill only if that saves enough tokens."""

from __future__ import annotations

from pensieve.core.prefixes.sharing import MIN_SHARED_TOKENS, PrefillProgress, worth_waiting_for

LONG = list(range(200))


def test_a_prompt_waits_for_the_prefill_that_shares_most_tokens() -> None:
    some, more = PrefillProgress(1, LONG[:80], 0), PrefillProgress(2, [*LONG[:150], -1], 10)
    assert worth_waiting_for(LONG, 0, [some, more]) is more
    assert worth_waiting_for(LONG, 0, [some]) is some


def test_a_prompt_does_not_wait_for_cached_or_few_tokens() -> None:
    prefill = PrefillProgress(1, LONG, 0)
    assert worth_waiting_for(LONG, 200 - MIN_SHARED_TOKENS, [prefill]) is prefill
    assert worth_waiting_for(LONG, 201 - MIN_SHARED_TOKENS, [prefill]) is None
    assert worth_waiting_for([-1, *LONG], 0, [prefill]) is None
    assert worth_waiting_for(LONG, 0, []) is None


def test_snapshots_are_usable_up_to_the_last_common_stop() -> None:
    shared = [*LONG[:150], -1]
    assert PrefillProgress(1, LONG, 0, (100, 180)).usable_by(shared) == 100
    assert PrefillProgress(1, LONG, 0, (180,)).usable_by(shared) == 0
