"""Samplers and penalties for a request's settings, composed of mlx-lm's filters."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import mlx.core as mx

from contracts.values.vocabulary import Sampling
from pensieve.core.defaults.sampling import API_DEFAULTS, with_defaults

SMALLEST_TEMPERATURE = 1e-3
"""Below this, logits divided by the temperature leave float16's range: the most likely token is taken."""
_LOW_TEMPERATURE = 0.1

PENALTY_CONTEXT_TOKENS: Final = 1024
"""The number of most recent tokens, of prompt and answer, that a repetition penalty applies to.

Transformers and vLLM use all of them, which costs more the longer a conversation gets; llama.cpp uses 64, mlx-lm 20.
"""
_SMALLEST_PENALTY: Final = 1e-3
_LARGEST_LOGIT: Final = 6e4
"""In float16. Larger logits become infinite, and two infinities turn the distribution into NaN."""

Sampler = Callable[[mx.array], mx.array]
Processor = Callable[[mx.array, mx.array], mx.array]


def sampler_for(sampling: Sampling, vocabulary_size: int) -> Sampler:
    """A sampler of logits [rows, vocabulary]. It never raises: an exception would fail the batch's other rows too.

    Equal settings share one sampler, so that a batch with one sampler samples in one call. Repetition penalties are
    separate (`penalties_for`). Settings that `sampling` leaves open get the API's defaults.
    """
    settings = with_defaults(sampling, API_DEFAULTS)
    if settings.temperature is None or settings.temperature < SMALLEST_TEMPERATURE:
        return _sampler(0.0, 1.0, 0, 0.0)
    top_k = settings.top_k if settings.top_k and settings.top_k < vocabulary_size else 0
    return _sampler(settings.temperature, max(settings.top_p or 0.0, 1e-6), top_k, settings.min_p or 0.0)


@lru_cache(maxsize=256)
def _sampler(temperature: float, top_p: float, top_k: int, min_p: float) -> Sampler:
    """Applies mlx-lm's filters in mlx-lm's order: top_p, min_p, top_k, then the temperature.

    mlx-lm's `make_sampler` rejects a top_k of the whole vocabulary, takes a top_p of 0.0 for "off" where the API means
    the most likely token, and divides by any temperature, however small. Only top_p and low temperatures, which take
    logits out of float16's range, need log probabilities.

    Temperature, top_p and min_p are arrays because mlx-lm compiles the filters: a number would become part of the
    kernel, and a GPU would compile it again for each new value (4 s on CUDA). For the same reason min_p is computed
    here: mlx-lm takes its logarithm, which needs a number.
    """
    from pensieve.device.mlx_lm import sampling as filters_of  # noqa: PLC0415 - half a second

    if not temperature:
        return filters_of.greedy_sampler  # type: ignore[no-any-return]  # mlx-lm has no types
    filters: list[Sampler] = []
    if top_p < 1.0 or temperature < _LOW_TEMPERATURE:
        filters.append(_as_log_probabilities)
    if top_p < 1.0:
        mass = mx.array(top_p)
        filters.append(lambda logits: filters_of.apply_top_p(logits, mass))
    if min_p:
        log_share = mx.array(math.log(min_p))
        filters.append(lambda logits: _mask_below(logits, log_share))
    if top_k:
        filters.append(lambda logits: filters_of.apply_top_k(logits, top_k))
    divisor = mx.array(temperature)

    def sample(logits: mx.array) -> mx.array:
        for keep in filters:
            logits = keep(logits)
        token_ids: mx.array = filters_of.categorical_sampling(logits, divisor)
        return token_ids

    return sample


def _as_log_probabilities(logits: mx.array) -> mx.array:
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def _mask_below(logits: mx.array, log_share: mx.array) -> mx.array:
    """Mask the tokens whose probability, relative to the most likely token's, is below exp(log_share)."""
    threshold = mx.max(logits, axis=-1, keepdims=True) + log_share
    return mx.where(logits < threshold, float("-inf"), logits)


def penalties_for(sampling: Sampling, num_prompt_tokens: int) -> list[Processor]:
    """The logits processors of a request; none if there is no penalty, so that its row may be speculated on."""
    processors = []
    if sampling.repetition_penalty not in (None, 1.0):
        processors.append(_of_recent_tokens(sampling.repetition_penalty))
    presence, frequency = sampling.presence_penalty or 0.0, sampling.frequency_penalty or 0.0
    if presence or frequency:
        processors.append(_of_answer_tokens(presence, frequency, num_prompt_tokens))
    return processors


def _of_recent_tokens(penalty: float) -> Processor:
    """mlx-lm's repetition penalty."""
    from pensieve.device.mlx_lm.sampling import make_repetition_penalty  # noqa: PLC0415 - half a second

    penalise = make_repetition_penalty(max(penalty, _SMALLEST_PENALTY), PENALTY_CONTEXT_TOKENS)

    def penalise_within_range(token_ids: Any, logits: mx.array) -> mx.array:
        return mx.minimum(penalise(token_ids, logits), _LARGEST_LOGIT)

    return penalise_within_range


def _of_answer_tokens(presence: float, frequency: float, num_prompt_tokens: int) -> Processor:
    """OpenAI's penalties, by its formula: a token's logit falls by `presence` if the answer has the token, and by
    `frequency` for each time that it does.

    mlx-lm's processors of these names also count the prompt, and only the last 20 tokens.
    """

    def penalise(token_ids: mx.array, logits: mx.array) -> mx.array:
        answer = token_ids[num_prompt_tokens:]
        if not answer.size:
            return logits
        counts = mx.zeros(logits.shape[-1]).at[answer].add(1.0)
        cost = frequency * counts + presence * (counts > 0)
        return mx.minimum(logits - cost.astype(logits.dtype), _LARGEST_LOGIT)

    return penalise
