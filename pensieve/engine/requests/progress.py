"""How far a request is. The MLX thread writes it; the event loop may read it at any time."""

from __future__ import annotations

import time

from contracts.values.generation import Usage
from contracts.values.measurements import RequestProgress, RequestStage
from pensieve.engine.requests.prompt import PreparedPrompt

RECORD_INTERVAL_TOKENS = 10


class AnswerProgress:
    def __init__(self, prompt: PreparedPrompt) -> None:
        self.accepted_at = time.monotonic()
        self.first_token_at: float | None = None
        self.output_tokens = 0
        self.thinking_tokens = 0
        self.cached_tokens = 0
        """Prompt tokens in the prompt cache when the request was admitted."""
        self.prefilled_tokens: int | None = None
        """Prompt tokens computed or read so far. None before it has a row."""
        self.stored_5m_tokens = 0
        self.stored_1h_tokens = 0
        self.max_total_tokens = min(len(prompt.token_ids) + prompt.request.max_tokens, prompt.window_tokens)
        """The tokens of the prompt and of the longest possible answer. Lowered where memory is short."""
        self._prompt = prompt
        self._last_token_at = 0.0
        self._intervals_seconds: list[float] = []

    @property
    def max_answer_tokens(self) -> int:
        """The request's `max_tokens`, or what the prompt leaves of the window."""
        return self.max_total_tokens - len(self._prompt.token_ids)

    @property
    def is_limited_by_window(self) -> bool:
        return self.max_answer_tokens < self._prompt.request.max_tokens

    @property
    def usage(self) -> Usage:
        return Usage(
            len(self._prompt.token_ids),
            self.output_tokens,
            self.cached_tokens,
            self.stored_5m_tokens,
            self.stored_1h_tokens,
            self.thinking_tokens,
        )

    def report(self, *, has_ended: bool = False) -> RequestProgress:
        first = self.first_token_at
        return RequestProgress(
            stage=RequestStage.ENDED if has_ended else self._stage(),
            prompt_tokens=len(self._prompt.token_ids),
            cached_tokens=self.cached_tokens,
            prefilled_tokens=self.prefilled_tokens or 0,
            output_tokens=self.output_tokens,
            max_output_tokens=self.max_answer_tokens,
            seconds=time.monotonic() - self.accepted_at,
            first_token_seconds=None if first is None else first - self.accepted_at,
            differs_in=self._prompt.differs_in,
            client=self._prompt.request.client,
        )

    def _stage(self) -> RequestStage:
        if self.output_tokens:
            return RequestStage.ANSWERING
        return RequestStage.WAITING if self.prefilled_tokens is None else RequestStage.PREFILLING

    def count_token(self) -> bool:
        """Count one more sampled token. Returns whether a progress record is due.

        With a max_tokens of 0, the token that ends the prompt's computation is not part of any answer.
        """
        if not self._prompt.request.max_tokens:
            return False
        self.output_tokens += 1
        now = time.monotonic()
        if self.first_token_at is None:
            self.first_token_at = now
        else:
            self._intervals_seconds.append(now - self._last_token_at)
        self._last_token_at = now
        return self.output_tokens % RECORD_INTERVAL_TOKENS == 0

    def take_intervals(self) -> tuple[float, ...]:
        """The seconds between tokens since the last call, which are at most those of two progress records."""
        taken, self._intervals_seconds = tuple(self._intervals_seconds), []
        return taken
