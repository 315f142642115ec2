"""How a token is taken from logits, by the settings of a request: mlx-lm's samplers."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import mlx.core as mx

from contracts.vocabulary import Sampling

SMALLEST_TEMPERATURE = 1e-3
"""Below it, log probabilities over the temperature leave float16's range: the likeliest token is all there is."""
_LOW_TEMPERATURE = 0.1


@lru_cache(maxsize=256)
def sampler_for(sampling: Sampling, vocabulary_size: int) -> Any:
    """mlx-lm's sampler of logits, never raising: an exception in one row's sampler would lose the others of its batch.

    Equal settings share one sampler, since a batch with one sampler is sampled in one call. mlx-lm refuses a top_k of
    the whole vocabulary, takes a top_p of 0.0 for "off" where the API asks for the likeliest token alone, and divides
    by a temperature however small. Only top_p and low temperatures, which take logits out of float16's range, need log
    probabilities. Temperature and top_p are given as arrays: mlx-lm compiles what it does with them, and a number would
    stand in the kernel, which a GPU would compile anew for each other one (4 s on CUDA).
    """
    from mlx_lm.sample_utils import make_sampler  # noqa: PLC0415 - transformers takes seconds to import

    top_k = sampling.top_k if sampling.top_k is not None and sampling.top_k < vocabulary_size else 0
    top_p = 1.0 if sampling.top_p is None else max(sampling.top_p, 1e-6)
    temperature = sampling.temperature if sampling.temperature >= SMALLEST_TEMPERATURE else 0.0
    sampler = make_sampler(temp=_as_input(temperature), top_p=_as_input(top_p) if top_p < 1.0 else 1.0, top_k=top_k)
    if not temperature or (top_p >= 1.0 and temperature >= _LOW_TEMPERATURE):
        return sampler
    return lambda logits: sampler(logits - mx.logsumexp(logits, axis=-1, keepdims=True))


def _as_input(number: float) -> Any:
    return mx.array(number) if number else 0.0
