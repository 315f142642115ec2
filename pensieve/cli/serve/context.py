"""Whether the main model has the window that `--context` names."""

from __future__ import annotations

from contracts.values.vocabulary import ModelInfo
from pensieve.core.errors import ValidationError
from pensieve.models.estimate.known_model import KnownModel


def require_context(known: KnownModel, loaded: ModelInfo) -> None:
    """Other models of a server have the window that they can have: `--context` is the most for each.

    Raises:
        ValidationError: the model's own window is smaller, or what fits into memory is.
    """
    wanted, window_tokens = known.settings.context_tokens, loaded.context_window_tokens
    if wanted is None or wanted <= window_tokens:
        return
    if window_tokens >= known.info.context_window_tokens:
        problem = f"exceed the model's window of {window_tokens} tokens"
        remedy = f"Use --context {window_tokens} or less, or a model with a longer window"
    else:
        problem = f"do not fit into memory, which holds {window_tokens}"
        remedy = f"Use --context {window_tokens} or less, raise --memory-limit, or serve with --kv-bits 8"
    raise ValidationError("--context", f"{wanted} tokens {problem}. {remedy}")
