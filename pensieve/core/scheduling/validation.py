"""Refuses a request before anything is computed: values out of range, and prompts over the window (S5, S8, C4)."""

from __future__ import annotations

from contracts.values.vocabulary import GenerationRequest, Sampling
from pensieve.core.defaults.sampling import ALLOWED
from pensieve.core.errors import PromptTooLongError, ValidationError

MIN_ANSWER_TOKENS = 32
"""An answer with less room than this holds neither a sentence nor a tool call, so its prompt counts as too long."""


def check_request(request: GenerationRequest) -> None:
    """
    Raises:
        ValidationError: a field is out of range or NaN; the error names it.
    """
    if request.max_tokens < 0:
        raise ValidationError("max_tokens", "must be at least 0")
    _check_sampling(request.sampling)
    if not request.messages:
        raise ValidationError("messages", "at least one message is required")


def _check_sampling(sampling: Sampling) -> None:
    for name, allowed in ALLOWED.items():
        value = getattr(sampling, name)
        if value is not None and not allowed.holds(value):
            raise ValidationError(name, f"must be {allowed.sentence}")


def check_window(input_tokens: int, max_tokens: int, window_tokens: int, *, is_raw: bool = False) -> None:
    """Check that the window leaves room for an answer, though not for all of `max_tokens`: clients send that number
    without knowing the window.

    Raises:
        PromptTooLongError: the prompt leaves less than `MIN_ANSWER_TOKENS`, and less than the client requests.
    """
    min_tokens = min(max_tokens, MIN_ANSWER_TOKENS)
    if input_tokens > window_tokens:
        raise PromptTooLongError(input_tokens, window_tokens, is_raw=is_raw)
    if input_tokens + min_tokens > window_tokens:
        raise PromptTooLongError(input_tokens, window_tokens - min_tokens, is_raw=is_raw)


def thinking_tokens(budget_tokens: int, max_tokens: int, answer_tokens: int) -> int:
    """The thinking budget of an answer that the window limits to `answer_tokens`, fewer than its `max_tokens`.

    After the thinking, the answer keeps the room that the request left it, but at most half of what there is.
    """
    after_thinking = min(max(0, max_tokens - budget_tokens), answer_tokens // 2)
    return min(budget_tokens, answer_tokens - after_thinking)
