"""What the operator of a server sets for a model, and what becomes of a request under it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from contracts.values.vocabulary import GenerationRequest, Prompt, Sampling, Thinking
from pensieve.core.defaults.sampling import API_DEFAULTS, with_defaults


class ThinkingMode(Enum):
    AUTO = "auto"
    """As each request asks."""
    OFF = "off"
    """Never, whatever a request asks."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """None is a setting that is not made. `sampling` holds where a request is silent; the other two always."""

    sampling: Sampling = Sampling()  # noqa: RUF009 - frozen
    thinking: ThinkingMode | None = None
    max_thinking_tokens: int | None = None

    def over(self, general: ModelSettings) -> ModelSettings:
        """These settings, and where there is none, the `general` one."""
        return ModelSettings(
            with_defaults(self.sampling, general.sampling),
            self.thinking or general.thinking,
            general.max_thinking_tokens if self.max_thinking_tokens is None else self.max_thinking_tokens,
        )

    def over_makers(self, makers: Sampling) -> ModelSettings:
        """These settings over those of the model's makers and the API's own: no sampling parameter is left open."""
        return replace(self, sampling=with_defaults(with_defaults(self.sampling, makers), API_DEFAULTS))

    def request(self, request: GenerationRequest) -> GenerationRequest:
        """The request as it is carried out."""
        sampling = with_defaults(request.sampling, self.sampling)
        return replace(request, sampling=sampling, thinking=self._thinking(request.thinking))

    def prompt(self, prompt: Prompt) -> Prompt:
        """The prompt as it is rendered: templates speak of thinking."""
        return replace(prompt, thinking=self._thinking(prompt.thinking))

    def _thinking(self, asked: Thinking) -> Thinking:
        """Where thinking is off, a model that thinks regardless of its template has a budget of nothing, and one that
        knows efforts alone the least of them.
        """
        if self.thinking is ThinkingMode.OFF:
            return replace(asked, enabled=False, budget_tokens=0, effort="minimal")
        if self.max_thinking_tokens is None:
            return asked
        budgets = [tokens for tokens in (asked.budget_tokens, self.max_thinking_tokens) if tokens is not None]
        return replace(asked, budget_tokens=min(budgets))
