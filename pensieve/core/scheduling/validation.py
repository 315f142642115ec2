"""Refuses a request before anything is computed: values out of range, and prompts over the window (S5, S8, C4)."""

from __future__ import annotations

from contracts.values.vocabulary import GenerationRequest, Sampling
from pensieve.core.defaults.sampling import ALLOWED
from pensieve.core.errors import OutputTooLongError, PromptTooLongError, ValidationError


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


def check_window(input_tokens: int, max_tokens: int, window_tokens: int, because: str = "") -> None:
    """Check that prompt and output fit the window together. `because` explains a window smaller than the model's.

    Raises:
        PromptTooLongError: the prompt leaves no room for a single token.
        OutputTooLongError: the prompt fits, but not together with `max_tokens`.
    """
    if input_tokens >= window_tokens:
        raise PromptTooLongError(input_tokens, window_tokens, because)
    if input_tokens + max_tokens > window_tokens:
        raise OutputTooLongError(input_tokens, max_tokens, window_tokens, because)
