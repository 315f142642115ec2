"""Speculative sampling draws from the same distribution as plain decoding."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

from contracts.values.vocabulary import Sampling
from pensieve.engine.decoding.samplers import sampler_for
from pensieve.models.loading.load import LoadedModel
from tests.engine.speculation.test_speculation import Eager, RowsRun
from tests.engine.support.tiny_modules import tiny_module


@pytest.mark.parametrize(
    "sampling",
    [Sampling(temperature=1.0), Sampling(temperature=0.7, top_p=0.9, top_k=3, min_p=0.08), Sampling(temperature=1.5)],
)
def test_speculated_answers_follow_the_models_own_distribution(sampling: Sampling) -> None:
    model, vocabulary = _of_few_tokens(4)
    token_ids, num_tokens, num_draws = every_triple_of(4), 3, 1024
    mx.random.seed(20)
    drawn: Counter[tuple[int, ...]] = Counter()
    pace = Eager()
    for _ in range(num_draws // 64):
        run = RowsRun(model, speculates=True, pace=pace)
        run.insert([token_ids] * 64, num_tokens, sampler_for(sampling, vocabulary))
        drawn.update(tuple(tokens) for tokens in run.finish())
    assert pace.counts.accepted > 200
    assert pace.counts.proposed - pace.counts.accepted > 200
    chances = expected_chances(model, vocabulary, token_ids, num_tokens, sampling)
    assert math.isclose(sum(chances.values()), 1.0, abs_tol=1e-4)
    assert improbability(drawn, chances, num_draws) < 3.5


def every_triple_of(vocabulary: int) -> list[int]:
    """A text with every triple of tokens, so that there is always a draft."""
    text, seen = [0, 0], set()
    while True:
        unseen = [token for token in reversed(range(vocabulary)) if (*text[-2:], token) not in seen]
        if not unseen:
            return text
        seen.add((*text[-2:], unseen[0]))
        text.append(unseen[0])


def _of_few_tokens(vocabulary: int) -> tuple[LoadedModel, int]:
    """The tiny llama, with a vocabulary of only its first few tokens."""
    model = tiny_module("llama")
    module = model.model
    module.update(
        {
            "model": {"embed_tokens": {"weight": module.model.embed_tokens.weight[:vocabulary]}},
            "lm_head": {"weight": module.lm_head.weight[:vocabulary] * 0.5},
        }
    )
    return replace(model, vocabulary_size=vocabulary), vocabulary


def expected_chances(
    model: LoadedModel, vocabulary: int, token_ids: list[int], num_tokens: int, sampling: Sampling
) -> dict[tuple[int, ...], float]:
    """The probability of every answer of `num_tokens`, computed without a cache."""
    answers = list(itertools.product(range(vocabulary), repeat=num_tokens))
    logits = model.model(mx.array([[*token_ids, *answer] for answer in answers]))[:, len(token_ids) - 1 : -1]
    found = {}
    for answer, rows in zip(answers, np.array(logits, np.float64), strict=True):
        found[answer] = math.prod(_distribution(row, sampling)[token] for token, row in zip(answer, rows, strict=True))
    return found


def _distribution(logits: np.ndarray[Any, Any], sampling: Sampling) -> np.ndarray[Any, Any]:
    """As in mlx-lm: top_p, min_p and top_k of the untempered probabilities, then the temperature."""
    chances = np.exp(logits - logits.max())
    chances /= chances.sum()
    order = np.argsort(-chances)
    kept = len(chances)
    if sampling.top_p is not None:
        kept = int(np.sum(np.cumsum(chances[order]) - chances[order] < sampling.top_p))
    kept = min(kept, sampling.top_k or kept, int(np.sum(chances >= (sampling.min_p or 0.0) * chances.max())))
    powered = np.zeros_like(chances)
    powered[order[:kept]] = chances[order[:kept]] ** (1 / (sampling.temperature or 1.0))
    tempered: np.ndarray[Any, Any] = powered / powered.sum()
    return tempered


def improbability(drawn: Counter[tuple[int, ...]], chances: dict[tuple[int, ...], float], num_draws: int) -> float:
    """The chi-square statistic of the draws, in standard deviations of a normal distribution (Wilson and Hilferty)."""
    cells = [(drawn[answer], chance * num_draws) for answer, chance in chances.items()]
    common = [(count, wanted) for count, wanted in cells if wanted >= 5]
    rare = [(count, wanted) for count, wanted in cells if wanted < 5]
    common.append((sum(count for count, _ in rare), sum(wanted for _, wanted in rare) + 1e-9))
    statistic = sum((count - wanted) ** 2 / wanted for count, wanted in common if wanted > 1e-6 or count)
    spread = 2 / (9 * (len(common) - 1))
    return float(((statistic / (len(common) - 1)) ** (1 / 3) - (1 - spread)) / math.sqrt(spread))
