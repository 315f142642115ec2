"""Who waits for whom: only for what is worth it, and only as long as it is not there."""

from __future__ import annotations

from pensieve.core.prefixes.sharing import MIN_SHARED_TOKENS, PrefillProgress, worth_waiting_for

LONG = list(range(200))


def test_a_prompt_waits_for_the_one_that_gives_it_most() -> None:
    some, more = PrefillProgress(1, LONG[:80], 0), PrefillProgress(2, [*LONG[:150], -1], 10)
    assert worth_waiting_for(LONG, 0, [some, more]) is more
    assert worth_waiting_for(LONG, 0, [some]) is some


def test_nobody_waits_for_what_is_known_or_for_little() -> None:
    reading = PrefillProgress(1, LONG, 0)
    assert worth_waiting_for(LONG, 200 - MIN_SHARED_TOKENS, [reading]) is reading
    assert worth_waiting_for(LONG, 201 - MIN_SHARED_TOKENS, [reading]) is None
    assert worth_waiting_for([-1, *LONG], 0, [reading]) is None
    assert worth_waiting_for(LONG, 0, []) is None


def test_states_that_cannot_be_cut_are_of_use_up_to_the_last_stop_in_common() -> None:
    shared = [*LONG[:150], -1]
    assert PrefillProgress(1, LONG, 0, (100, 180)).usable_by(shared) == 100
    assert PrefillProgress(1, LONG, 0, (180,)).usable_by(shared) == 0
