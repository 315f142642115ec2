"""A chunk of a prompt is no longer than the answers beside it can wait."""

from __future__ import annotations

import pytest

from pensieve.core.scheduling.prefill_budget import GRAIN_TOKENS, MAX_USUAL_STEPS, MIN_TOKENS, PrefillBudget


def pace(*, usual_seconds: float, token_seconds: float) -> PrefillBudget:
    found = PrefillBudget()
    found.note_decode(1, usual_seconds)
    found.note_prefill(100, 100 * token_seconds, 0)
    return found


def test_nobody_waits_so_the_chunk_is_whole() -> None:
    assert pace(usual_seconds=0.001, token_seconds=1.0).max_tokens(0, 512) == 512


def test_before_anything_is_known_the_chunk_is_whole() -> None:
    assert PrefillBudget().max_tokens(3, 512) == 512


@pytest.mark.parametrize(("usual_ms", "token_ms"), [(50, 5), (50, 2), (20, 1), (7, 0.05)])
def test_a_chunk_takes_no_more_than_so_many_usual_steps(usual_ms: float, token_ms: float) -> None:
    chunk = pace(usual_seconds=usual_ms / 1000, token_seconds=token_ms / 1000).max_tokens(1, 4096)
    assert chunk * token_ms <= MAX_USUAL_STEPS * usual_ms < (chunk + GRAIN_TOKENS) * token_ms
    assert chunk % GRAIN_TOKENS == 0


def test_a_chunk_is_not_so_small_that_a_prompt_takes_for_ever() -> None:
    assert pace(usual_seconds=0.001, token_seconds=1.0).max_tokens(1, 4096) == MIN_TOKENS


def test_what_is_allowed_at_most_stays_so() -> None:
    assert pace(usual_seconds=1.0, token_seconds=1e-6).max_tokens(1, 128) == 128


def test_the_tokens_that_others_got_in_a_step_are_no_part_of_the_reading() -> None:
    found = PrefillBudget()
    found.note_decode(2, 0.05)
    found.note_prefill(100, 0.05 + 0.2, 2)
    assert found.max_tokens(2, 4096) == int(MAX_USUAL_STEPS * 0.05 / 0.002) // GRAIN_TOKENS * GRAIN_TOKENS


def test_a_machine_that_slows_down_reads_less_at_once() -> None:
    found = pace(usual_seconds=0.05, token_seconds=0.002)
    before = found.max_tokens(1, 4096)
    for _ in range(20):
        found.note_prefill(100, 0.8, 0)
    assert found.max_tokens(1, 4096) < before / 2


def test_a_chunk_that_takes_hardly_longer_when_it_is_larger_is_taken_larger() -> None:
    """As on a GPU: 25 ms however few, and 0.07 ms for each token more."""
    found = PrefillBudget()
    found.note_decode(1, 0.0055)
    for tokens in (20, 64, 128, 256, 512):
        found.note_prefill(tokens, 0.025 + 0.00007 * tokens, 0)
    allowed = (MAX_USUAL_STEPS * 0.0055 - 0.025) / 0.00007
    assert allowed - 2 * GRAIN_TOKENS <= found.max_tokens(1, 4096) <= allowed


def test_a_short_prompt_tells_little_of_a_long_one() -> None:
    found = PrefillBudget()
    found.note_decode(1, 0.0055)
    found.note_prefill(512, 0.062, 0)
    before = found.max_tokens(1, 4096)
    for _ in range(10):
        found.note_prefill(9, 0.026, 0)
    assert found.max_tokens(1, 4096) >= 0.7 * before


def test_a_size_that_took_long_once_is_tried_again() -> None:
    """As where kernels are compiled, or the machine had other work, when chunks of that size were met first."""
    found = PrefillBudget()
    found.note_decode(1, 0.0055)
    found.note_prefill(300, 2.0, 0)
    for _ in range(10):
        chunk = found.max_tokens(1, 512)
        found.note_prefill(chunk, 0.025 + 0.00005 * chunk, 0)
    assert found.max_tokens(1, 512) > 256


def test_prompts_that_are_read_together_say_nothing_of_one_alone() -> None:
    found = pace(usual_seconds=0.05, token_seconds=0.002)
    before = found.max_tokens(1, 4096)
    for _ in range(10):
        found.note_prefill(128, 3.0, 0, num_prompts=4)
    assert found.max_tokens(1, 4096) == before
    assert found.max_tokens(1, 4096, num_prompts=2) < before
