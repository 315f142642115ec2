"""How a token is taken from logits, by the settings of a request: mlx-lm's own filters, put together here."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import mlx.core as mx

from contracts.values.vocabulary import Sampling
from pensieve.core.defaults.sampling import API_DEFAULTS, with_defaults

SMALLEST_TEMPERATURE = 1e-3
"""Below it, log probabilities over the temperature leave float16's range: the likeliest token is all there is."""
_LOW_TEMPERATURE = 0.1

PENALTY_CONTEXT_TOKENS: Final = 1024
"""How many of the last tokens of prompt and answer a repetition penalty looks at. Transformers and vLLM take all of
them, which costs more the longer a conversation gets; llama.cpp takes 64, mlx-lm 20.
"""
_SMALLEST_PENALTY: Final = 1e-3
_LARGEST_LOGIT: Final = 6e4
"""Of float16: beyond it is infinity, and two infinities make a distribution of NaN."""

Sampler = Callable[[mx.array], mx.array]
Processor = Callable[[mx.array, mx.array], mx.array]


def sampler_for(sampling: Sampling, vocabulary_size: int) -> Sampler:
    """The sampler of logits [rows, vocabulary], never raising: an exception in one row's sampler would lose the others
    of its batch.

    Equal settings share one sampler, since a batch with one sampler is sampled in one call; a repetition penalty is not
    a sampler's. What `sampling` leaves open is the API's default.
    """
    held = with_defaults(sampling, API_DEFAULTS)
    if held.temperature is None or held.temperature < SMALLEST_TEMPERATURE:
        return _sampler(0.0, 1.0, 0, 0.0)
    top_k = held.top_k if held.top_k and held.top_k < vocabulary_size else 0
    return _sampler(held.temperature, max(held.top_p or 0.0, 1e-6), top_k, held.min_p or 0.0)


@lru_cache(maxsize=256)
def _sampler(temperature: float, top_p: float, top_k: int, min_p: float) -> Sampler:
    """Filters in mlx-lm's order: top_p, min_p, top_k, and then the temperature.

    mlx-lm's `make_sampler` refuses a top_k of the whole vocabulary, takes a top_p of 0.0 for "off" where the API asks
    for the likeliest token alone, and divides by a temperature however small. Only top_p and low temperatures, which
    take logits out of float16's range, need log probabilities. Temperature, top_p and min_p are arrays: mlx-lm compiles
    what it does with them, and a number would stand in the kernel, which a GPU would compile again for each other one
    (4 s on CUDA). For the same reason min_p is not mlx-lm's, whose logarithm needs a number.
    """
    from mlx_lm import sample_utils  # noqa: PLC0415 - transformers takes seconds to import

    if not temperature:
        return sample_utils.greedy_sampler  # type: ignore[no-any-return]  # mlx-lm has no types
    filters: list[Sampler] = []
    if top_p < 1.0 or temperature < _LOW_TEMPERATURE:
        filters.append(_as_log_probabilities)
    if top_p < 1.0:
        mass = mx.array(top_p)
        filters.append(lambda logits: sample_utils.apply_top_p(logits, mass))
    if min_p:
        log_share = mx.array(math.log(min_p))
        filters.append(lambda logits: _at_least(logits, log_share))
    if top_k:
        filters.append(lambda logits: sample_utils.apply_top_k(logits, top_k))
    divisor = mx.array(temperature)

    def sampled(logits: mx.array) -> mx.array:
        for keep in filters:
            logits = keep(logits)
        token_ids: mx.array = sample_utils.categorical_sampling(logits, divisor)
        return token_ids

    return sampled


def _as_log_probabilities(logits: mx.array) -> mx.array:
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def _at_least(logits: mx.array, log_share: mx.array) -> mx.array:
    """Logits of those tokens that are at least so probable, relative to the likeliest."""
    least = mx.max(logits, axis=-1, keepdims=True) + log_share
    return mx.where(logits < least, float("-inf"), logits)


def penalties_for(sampling: Sampling) -> list[Processor]:
    """mlx-lm's logits processors for a request; none where nothing is penalised: rows without are speculated on."""
    penalty = sampling.repetition_penalty
    if penalty is None or penalty == 1.0:
        return []
    from mlx_lm.sample_utils import make_repetition_penalty  # noqa: PLC0415 - transformers takes seconds to import

    penalise = make_repetition_penalty(max(penalty, _SMALLEST_PENALTY), PENALTY_CONTEXT_TOKENS)

    def penalised(token_ids: Any, logits: mx.array) -> mx.array:
        return mx.minimum(penalise(token_ids, logits), _LARGEST_LOGIT)

    return [penalised]
