"""The text that `pensieve fit` and `pensieve models show` print about the fit of a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pensieve.cli.fit.figures import Fit
from pensieve.cli.sizes import format_duration, format_size
from pensieve.core.fit.kv_bytes import KVShape, kv_bytes
from pensieve.core.fit.roofline import limit_tokens_per_second

_SHORT_PROMPT_TOKENS: Final = 2048


def report_lines(fit: Fit) -> Iterator[str]:
    footprint = fit.footprint
    yield f"{fit.name} on {fit.device}, from {fit.where}"
    yield (
        f"  weights         {format_size(footprint.weights_bytes)} "
        f"({footprint.num_parameters / 1e9:.2f} billion parameters)"
    )
    if footprint.mtp_bytes:
        yield f"  MTP head        {format_size(footprint.mtp_bytes)}, which drafts tokens; none with --no-mtp"
    yield f"  working memory  {format_size(fit.activation_bytes + fit.reserve_bytes)}, an estimate until it is loaded"
    yield f"  limit           {format_size(fit.limit_bytes)}: {fit.limit_from}"
    yield from _conversation_lines(fit) if footprint.kv else [f"  conversations   unknown: {footprint.kv_unknown}"]
    yield from _speed_lines(fit)
    for remark in footprint.remarks:
        yield f"  note: {remark}"
    yield _verdict(fit)
    yield from () if fit.fits else _remedies(fit)


def _conversation_lines(fit: Fit) -> Iterator[str]:
    shape = fit.footprint.kv
    assert shape is not None  # noqa: S101 - checked by the caller
    yield (
        f"  conversation    {shape.bytes_per_token(fit.kv_bits) / 1000:.1f} kB per token, "
        f"{format_size(kv_bytes(shape, fit.window_tokens, bits=fit.kv_bits))} for the whole window of "
        f"{fit.window_tokens} tokens"
    )
    yield f"  longest         {_longest(fit, shape)}"
    at_once = fit.max_conversations(shape, fit.kv_bits)
    number = "any number of" if at_once is None else at_once
    yield f"  at once         {number} conversation{'' if number == 1 else 's'} of {fit.session_tokens} tokens"


def _longest(fit: Fit, shape: KVShape) -> str:
    longest = f"{fit.longest(shape, fit.kv_bits)} tokens under the limit"
    if fit.kv_bits is None and shape.can_be_quantised:
        return f"{longest}, {fit.longest(shape, 8)} with --kv-bits 8"
    return longest if shape.can_be_quantised else f"{longest}; this model does not support --kv-bits 8"


def _speed_lines(fit: Fit) -> Iterator[str]:
    shape = fit.footprint.kv
    longest = fit.longest(shape, fit.kv_bits) if shape else 0
    limit = limit_tokens_per_second(fit.footprint.token_cost, fit.rates)
    speed = f"about {_rate(fit.expected_tokens_per_second(0))} tokens/s"
    first = f"about {format_duration(fit.expected_first_token_seconds(_SHORT_PROMPT_TOKENS))}"
    first += f" for a prompt of {_SHORT_PROMPT_TOKENS} tokens"
    if longest:
        speed += f", {_rate(fit.expected_tokens_per_second(longest))} after {longest} tokens"
        first += f", {format_duration(fit.expected_first_token_seconds(longest))} for {longest}"
    yield f"  speed           {speed} (memory bandwidth allows {_rate(limit)})"
    yield f"  first token     {first}, when none of it is cached"
    yield f"  rates           {fit.rates_from}"


def _verdict(fit: Fit) -> str:
    conversation = f"a conversation of {fit.needed_context_tokens} tokens"
    if fit.window_is_too_short:
        return f"It does not fit: {conversation} exceeds the model's window of {fit.window_tokens} tokens."
    if fit.fits:
        return f"It fits, with {conversation}." if fit.footprint.kv else "Its weights fit; conversations are unknown."
    return f"It does not fit: {conversation} needs {format_size(fit.missing_bytes)} more memory."


def _remedies(fit: Fit) -> Iterator[str]:
    """What would fit, starting with what costs the user least."""
    shape = fit.footprint.kv
    if fit.window_is_too_short:
        yield f"  Try --context {fit.window_tokens} or less, or a model with a longer window."
        return
    longest = fit.longest(shape, fit.kv_bits) if shape else 0
    if shape and fit.kv_bits is None and fit.longest(shape, 8) >= fit.needed_context_tokens:
        yield "  Try --kv-bits 8, which stores keys and values in 8 bits."
    if longest:
        yield f"  Try --context {longest}, a shorter conversation."
    yield (
        f"  Try --memory-limit {(fit.limit_bytes + fit.missing_bytes) / 1e9:.2f}GB, or a smaller model "
        "(see `pensieve models list --available`)."
    )


def _rate(per_second: float) -> str:
    return f"{per_second:.0f}" if per_second >= 10 else f"{per_second:.1f}"
