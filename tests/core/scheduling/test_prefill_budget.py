"""A prefill chunk is only as large as the running answers can wait for."""

from __future__ import annotations

import pytest

from pensieve.core.scheduling.prefill_budget import (
    GRAIN_TOKENS,
    MAX_DECODE_STEPS,
    MAX_DECODE_STEPS_ON_CPU,
    MIN_TOKENS,
    PrefillBudget,
)


def learned(*, decode_seconds: float, token_seconds: float, max_decode_steps: int = MAX_DECODE_STEPS) -> PrefillBudget:
    budget = PrefillBudget(max_decode_steps)
    budget.note_decode(1, decode_seconds)
    budget.note_prefill(100, 100 * token_seconds, 0)
    return budget


def test_without_running_answers_the_chunk_is_full() -> None:
    assert learned(decode_seconds=0.001, token_seconds=1.0).max_tokens(0, 512) == 512


def test_before_anything_is_timed_the_chunk_is_full() -> None:
    assert PrefillBudget().max_tokens(3, 512) == 512


@pytest.mark.parametrize(("decode_ms", "token_ms"), [(50, 5), (50, 2), (20, 1), (7, 0.05)])
def test_a_chunk_takes_no_longer_than_the_allowed_decode_steps(decode_ms: float, token_ms: float) -> None:
    chunk = learned(decode_seconds=decode_ms / 1000, token_seconds=token_ms / 1000).max_tokens(1, 4096)
    assert chunk * token_ms <= MAX_DECODE_STEPS * decode_ms < (chunk + GRAIN_TOKENS) * token_ms
    assert chunk % GRAIN_TOKENS == 0


def test_on_a_cpu_a_chunk_takes_fewer_decode_steps() -> None:
    steps = MAX_DECODE_STEPS_ON_CPU
    budget = learned(decode_seconds=0.02, token_seconds=0.0004, max_decode_steps=steps)
    assert budget.max_tokens(1, 4096) == int(steps * 0.02 / 0.0004) // GRAIN_TOKENS * GRAIN_TOKENS


@pytest.mark.parametrize(("num_rows", "like"), [(2, 1), (7, 5), (5, 5)])
def test_a_number_of_rows_that_has_not_been_decoded_waits_as_fewer_do(num_rows: int, like: int) -> None:
    budget = learned(decode_seconds=0.01, token_seconds=0.001)
    budget.note_decode(5, 0.03)
    assert budget.max_tokens(num_rows, 4096) == budget.max_tokens(like, 4096) < 4096


def test_before_rows_have_been_decoded_the_shortest_chunk_stands_for_a_step() -> None:
    budget = PrefillBudget()
    budget.note_prefill(20, 0.02, 0)
    assert budget.max_tokens(1, 4096) == MAX_DECODE_STEPS * 20


def test_a_chunk_has_a_minimum_size() -> None:
    assert learned(decode_seconds=0.001, token_seconds=1.0).max_tokens(1, 4096) == MIN_TOKENS


def test_a_chunk_never_exceeds_the_configured_size() -> None:
    assert learned(decode_seconds=1.0, token_seconds=1e-6).max_tokens(1, 128) == 128


def test_the_decoding_in_a_step_does_not_count_as_prefill() -> None:
    budget = PrefillBudget()
    budget.note_decode(2, 0.05)
    budget.note_prefill(100, 0.05 + 0.2, 2)
    assert budget.max_tokens(2, 4096) == int(MAX_DECODE_STEPS * 0.05 / 0.002) // GRAIN_TOKENS * GRAIN_TOKENS


def test_a_machine_that_slows_down_gets_smaller_chunks() -> None:
    budget = learned(decode_seconds=0.05, token_seconds=0.002)
    before = budget.max_tokens(1, 4096)
    for _ in range(20):
        budget.note_prefill(100, 0.8, 0)
    assert budget.max_tokens(1, 4096) < before / 2


def test_a_chunk_grows_if_a_larger_one_takes_hardly_longer() -> None:
    """As on a GPU: 25 ms for any chunk, plus 0.07 ms per token."""
    budget = PrefillBudget()
    budget.note_decode(1, 0.0055)
    for tokens in (20, 64, 128, 256, 512):
        budget.note_prefill(tokens, 0.025 + 0.00007 * tokens, 0)
    allowed = (MAX_DECODE_STEPS * 0.0055 - 0.025) / 0.00007
    assert allowed - 2 * GRAIN_TOKENS <= budget.max_tokens(1, 4096) <= allowed


def test_short_chunks_say_little_about_long_ones() -> None:
    budget = PrefillBudget()
    budget.note_decode(1, 0.0055)
    budget.note_prefill(512, 0.062, 0)
    before = budget.max_tokens(1, 4096)
    for _ in range(10):
        budget.note_prefill(9, 0.026, 0)
    assert budget.max_tokens(1, 4096) >= 0.7 * before


def test_a_size_that_was_slow_once_is_used_again() -> None:
    """As when kernels were compiled, or the machine was busy, at the first chunk of that size."""
    budget = PrefillBudget()
    budget.note_decode(1, 0.0055)
    budget.note_prefill(300, 2.0, 0)
    for _ in range(10):
        chunk = budget.max_tokens(1, 512)
        budget.note_prefill(chunk, 0.025 + 0.00005 * chunk, 0)
    assert budget.max_tokens(1, 512) > 256


def test_prefilling_several_prompts_says_nothing_about_one() -> None:
    budget = learned(decode_seconds=0.05, token_seconds=0.002)
    before = budget.max_tokens(1, 4096)
    for _ in range(10):
        budget.note_prefill(128, 3.0, 0, num_prompts=4)
    assert budget.max_tokens(1, 4096) == before
    assert budget.max_tokens(1, 4096, num_prompts=2) < before
