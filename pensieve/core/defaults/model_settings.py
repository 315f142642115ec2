"""The operator's settings for a model, and how they change a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from contracts.values.vocabulary import GenerationRequest, Prompt, Sampling, Thinking
from pensieve.core.defaults.sampling import API_DEFAULTS, with_defaults

RESERVED_ARGUMENTS: Final = frozenset(
    ("messages", "tools", "documents", "add_generation_prompt", "continue_final_message", "chat_template", "tokenize")
)
"""Variables of a chat template that every rendering sets."""


class ThinkingMode(Enum):
    AUTO = "auto"
    """As each request specifies."""
    OFF = "off"
    """Never, whatever a request specifies."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """None means not set. `sampling` fills in what a request leaves out; the other settings override the request.

    `context_tokens` is the largest window, and `template_arguments` are variables for the chat template.
    """

    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    thinking: ThinkingMode | None = None
    max_thinking_tokens: int | None = None
    context_tokens: int | None = None
    template_arguments: Mapping[str, Any] | None = None

    def over(self, general: ModelSettings) -> ModelSettings:
        """These settings, completed by the `general` ones."""
        return ModelSettings(
            with_defaults(self.sampling, general.sampling),
            self.thinking or general.thinking,
            general.max_thinking_tokens if self.max_thinking_tokens is None else self.max_thinking_tokens,
            general.context_tokens if self.context_tokens is None else self.context_tokens,
            general.template_arguments if self.template_arguments is None else self.template_arguments,
        )

    def over_makers(self, makers: Sampling) -> ModelSettings:
        """These settings, completed by the makers' and then by the API's: every sampling parameter is set."""
        return replace(self, sampling=with_defaults(with_defaults(self.sampling, makers), API_DEFAULTS))

    def window_within(self, model_tokens: int) -> int:
        """The window of a model that was made for `model_tokens`."""
        return model_tokens if self.context_tokens is None else min(model_tokens, self.context_tokens)

    def request(self, request: GenerationRequest) -> GenerationRequest:
        """The request with these settings applied."""
        sampling = with_defaults(request.sampling, self.sampling)
        return replace(request, sampling=sampling, thinking=self._thinking(request.thinking))

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt with these settings applied, because chat templates depend on `thinking`."""
        return replace(prompt, thinking=self._thinking(prompt.thinking))

    def _thinking(self, requested: Thinking) -> Thinking:
        """With thinking off, a model that thinks in spite of its template gets a budget of 0, and one that knows only
        efforts gets the lowest.
        """
        if self.thinking is ThinkingMode.OFF:
            return replace(requested, enabled=False, budget_tokens=0, effort="minimal")
        if self.max_thinking_tokens is None:
            return requested
        budgets = [tokens for tokens in (requested.budget_tokens, self.max_thinking_tokens) if tokens is not None]
        return replace(requested, budget_tokens=min(budgets))
