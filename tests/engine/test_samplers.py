"""Samplers say of logits what they would say of log probabilities."""

from __future__ import annotations

import mlx.core as mx
import pytest

from contracts.vocabulary import Sampling
from pensieve.engine.samplers import sampler_for
from tests.engine.tiny_modules import VOCABULARY


def test_samplers_get_logits_and_say_what_log_probabilities_would() -> None:
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
def test_low_temperatures_stay_within_the_range_of_half_precision(temperature: float) -> None:
    logits = mx.array([[60.0, 59.0, *[1.0] * 30]], mx.float16)
    drawn = sampler_for(Sampling(temperature), 32)(logits)
    assert drawn.tolist() == [0]
