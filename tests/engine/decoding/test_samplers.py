"""Samplers give the same tokens for logits as for log probabilities, within the settings' filters."""

from __future__ import annotations

import math
from collections import Counter

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.vocabulary import Sampling
from pensieve.engine.decoding.samplers import PENALTY_CONTEXT_TOKENS, Sampler, penalties_for, sampler_for
from tests.engine.support.tiny_modules import VOCABULARY


def test_samplers_draw_the_same_from_logits_as_from_log_probabilities() -> None:
    logits = mx.random.normal((3, VOCABULARY)) * 4 + 30
    logprobs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    for sampling in (Sampling(0.0), Sampling(0.7), Sampling(1.0, top_p=0.6), Sampling(1.0, top_k=5), Sampling(0.01)):
        sampler = sampler_for(sampling, VOCABULARY)
        for seed in range(20):
            mx.random.seed(seed)
            on_logits = sampler(logits).tolist()
            mx.random.seed(seed)
            assert on_logits == sampler(logprobs).tolist()


@pytest.mark.parametrize("temperature", [0.1, 0.01, 0.002])
def test_low_temperatures_stay_within_half_precision(temperature: float) -> None:
    logits = mx.array([[60.0, 59.0, *[1.0] * 30]], mx.float16)
    drawn = sampler_for(Sampling(temperature), 32)(logits)
    assert drawn.tolist() == [0]


def drawn_by(sampler: Sampler, logits: mx.array) -> set[int]:
    """The distinct tokens in 400 draws."""
    drawn: list[int] = sampler(mx.broadcast_to(logits, (400, logits.shape[-1]))).tolist()  # type: ignore[assignment]
    return set(drawn)


def test_min_p_keeps_tokens_by_their_probability_relative_to_the_most_likely() -> None:
    chances = mx.array([[0.5, 0.26, 0.24, 1e-9, *[1e-9] * 4]])
    for min_p, kept in {0.5: {0, 1}, 0.1: {0, 1, 2}, 1.0: {0}}.items():
        sampler = sampler_for(Sampling(1.0, min_p=min_p), 8)
        assert drawn_by(sampler, mx.log(chances)) == kept


def test_combined_filters_keep_what_each_of_them_keeps() -> None:
    """As in mlx-lm, top_p counts the probabilities of all tokens, not only of those the other filters keep."""
    logits = mx.log(mx.array([[0.4, 0.3, 0.2, 0.1]]))
    for sampling, kept in (
        (Sampling(1.0, top_p=0.75, min_p=0.6), {0, 1}),
        (Sampling(1.0, top_p=0.75, top_k=2), {0, 1}),
        (Sampling(1.0, top_p=0.95, min_p=0.3), {0, 1, 2}),
    ):
        assert drawn_by(sampler_for(sampling, 4), logits) == kept, sampling


def test_open_settings_take_the_apis_defaults_and_equal_settings_share_a_sampler() -> None:
    assert sampler_for(Sampling(), 32) is sampler_for(Sampling(1.0, 1.0, 0, 0.0, 1.0), 32)
    assert sampler_for(Sampling(0.7, top_k=99), 32) is sampler_for(Sampling(0.7, repetition_penalty=1.1), 32)
    assert sampler_for(Sampling(0.0, top_p=0.5, top_k=3), 32) is sampler_for(Sampling(0.0), 32)


def penalised(penalty: float, token_ids: list[int], logits: list[float], dtype: mx.Dtype = mx.float32) -> list[float]:
    (processor,) = penalties_for(Sampling(repetition_penalty=penalty), 0)
    found: list[float] = processor(mx.array(token_ids), mx.array([logits], dtype))[0].tolist()  # type: ignore[assignment]
    return found


def test_a_repetition_penalty_affects_seen_tokens_only() -> None:
    assert penalised(2.0, [0, 1, 1], [4.0, -4.0, 4.0]) == [2.0, -8.0, 4.0]
    assert penalised(0.5, [0, 1], [4.0, -4.0, 4.0]) == [8.0, -2.0, 4.0]
    assert penalised(2.0, [], [4.0, -4.0, 4.0]) == [4.0, -4.0, 4.0]


def test_a_penalty_applies_to_a_bounded_number_of_tokens() -> None:
    long_ago = [0, *[1] * PENALTY_CONTEXT_TOKENS]
    assert penalised(2.0, long_ago, [4.0, 4.0]) == [4.0, 2.0]


@pytest.mark.parametrize("penalty", [5e-324, 1e-3, 10.0])
def test_extreme_penalties_leave_finite_logits_in_half_precision(penalty: float) -> None:
    for logit in penalised(penalty, [0, 1], [300.0, -300.0, 0.0], mx.float16):
        assert math.isfinite(logit)


def test_a_penalty_of_one_adds_no_processor() -> None:
    neutral = Sampling(repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0)
    assert penalties_for(neutral, 0) == penalties_for(Sampling(), 0) == []


@given(
    st.lists(st.integers(0, 7), max_size=5),
    st.lists(st.integers(0, 7), max_size=30),
    st.sampled_from([-2.0, -0.5, 0.0, 1.5]),
    st.sampled_from([-1.0, 0.0, 0.25, 2.0]),
)
def test_presence_and_frequency_penalties_count_the_tokens_of_the_answer(
    prompt: list[int], answer: list[int], presence: float, frequency: float
) -> None:
    """OpenAI's formula: mu[j] - c[j] * alpha_frequency - float(c[j] > 0) * alpha_presence, with c of sampled tokens."""
    sampling = Sampling(presence_penalty=presence, frequency_penalty=frequency)
    logits = [[float(number) for number in range(8)]]
    found = mx.array(logits)
    for processor in penalties_for(sampling, len(prompt)):
        found = processor(mx.array([*prompt, *answer], mx.int32), found)
    counts = Counter(answer)
    assert found.tolist() == [
        [number - counts[number] * frequency - (counts[number] > 0) * presence for number in range(8)]
    ]


def test_penalties_leave_finite_or_forbidden_logits_in_half_precision() -> None:
    (processor,) = penalties_for(Sampling(frequency_penalty=-2.0), 0)
    found = processor(mx.zeros(40_000, mx.int32), mx.array([[300.0, 1.0]], mx.float16))
    assert mx.all(mx.isfinite(found)).item()
