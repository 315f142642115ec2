"""What is refused before anything is computed: figures out of range, and prompts over the window (S5, S8, C4)."""

from __future__ import annotations

from contracts.vocabulary import GenerationRequest
from pensieve.core.errors import OutputTooLongError, PromptTooLongError, ValidationError

MAX_TEMPERATURE = 2.0


def check_request(request: GenerationRequest) -> None:
    """The seed's input checks.

    Raises:
        ValidationError: naming the field that is out of range. Comparisons are written so that NaN fails them.
    """
    if request.max_tokens < 1:
        raise ValidationError("max_tokens", "must be at least 1")
    sampling = request.sampling
    if not 0.0 <= sampling.temperature <= MAX_TEMPERATURE:
        raise ValidationError("temperature", f"must be a number from 0.0 to {MAX_TEMPERATURE}")
    if sampling.top_p is not None and not 0.0 <= sampling.top_p <= 1.0:
        raise ValidationError("top_p", "must be a number from 0.0 to 1.0")
    if sampling.top_k is not None and sampling.top_k < 1:
        raise ValidationError("top_k", "must be at least 1")
    if not request.messages:
        raise ValidationError("messages", "at least one message is required")


def check_window(input_tokens: int, max_tokens: int, window_tokens: int, because: str = "") -> None:
    """Prompt and output share the window, which is what it is `because` of more than the model.

    Raises:
        PromptTooLongError: the prompt leaves no room for a single token.
        OutputTooLongError: the prompt fits, but not with all of `max_tokens`.
    """
    if input_tokens >= window_tokens:
        raise PromptTooLongError(input_tokens, window_tokens, because)
    if input_tokens + max_tokens > window_tokens:
        raise OutputTooLongError(input_tokens, max_tokens, window_tokens, because)
