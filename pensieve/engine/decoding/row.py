"""A row: one request in the batch, from its prompt to its last token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import mlx.core as mx

if TYPE_CHECKING:
    from pensieve.engine.decoding.grammar_mask import GrammarMask
    from pensieve.engine.decoding.samplers import Processor, Sampler

FAILED: Final = "failed"
"""The finish reason of a row whose grammar could not be matched to the end. The row is still in the batch."""

Computed = tuple[list[int], list[Any]]
"""Token ids, and the caches that hold exactly these."""


class Sampled(NamedTuple):
    """One sampled token of the row `uid`. `finish_reason` is "stop", "length", FAILED, or None before the end.

    `computed` is set if the row ended and has left the batch.
    """

    uid: int
    token_id: int
    finish_reason: str | None
    computed: Computed | None = None


@dataclass(eq=False, slots=True)
class Row:
    """`token_ids` are those that the row's caches hold: a part of the prompt, then all of it, then the answer as well.

    A row can be speculated on if it has no `processors`.
    """

    uid: int
    prompt: list[int]
    token_ids: list[int]
    stops: tuple[int, ...]
    """Offsets in the prompt where prefill pauses, in order."""
    max_tokens: int
    sampler: Sampler
    processors: list[Processor]
    mask: GrammarMask | None = None
    num_cached: int = 0
    """Prompt tokens that came from the prompt cache."""
    samples_in_prefill: bool = False
    """Whether the pass of the prompt's last chunk computes the first token, or the last token is left to a decode step.
    """
    next_token: mx.array | None = None
    """The answer's first token [1], once the prompt's last chunk has computed it."""
    num_sampled: int = -1
    """Tokens of the answer in the caches; -1 until the prompt's last token is."""
    is_emitted_ahead: bool = False
    """Whether the next token was emitted before it enters the caches."""
    mtp: Any = None
    """What the model's MTP head holds for this row, if the model has one."""
    context: Any = None
    """mlx-lm's TokenBuffer of the tokens so far, if there are processors: they read it."""

    @property
    def num_remaining(self) -> int:
        """Prompt tokens to prefill. If only the last one is left, it enters a decode step, which it costs nothing."""
        left = len(self.prompt) - len(self.token_ids)
        return 0 if left <= 1 else left if self.samples_in_prefill else left - 1

    @property
    def next_stop(self) -> int:
        """The tokens until prefill pauses, or until its end."""
        done = len(self.token_ids)
        return next((stop - done for stop in self.stops if stop > done), self.num_remaining)

    @property
    def max_drafted(self) -> int:
        """The tokens that may be drafted. The next token counts toward `max_tokens` as well."""
        return 0 if self.processors else max(0, self.max_tokens - self.num_sampled - 1)

    @property
    def ends_with_next(self) -> bool:
        return self.num_sampled + 1 >= self.max_tokens

    def begin_answer(self, logits: mx.array) -> None:
        """Sample the first token from logits [1, vocabulary], the prompt being complete."""
        self.begin_context()
        self.next_token = self.sampler(self.processed(logits))
        self.num_sampled = 0

    def processed(self, logits: mx.array) -> mx.array:
        """The row's logits [1, vocabulary] after its processors."""
        for process in self.processors:
            logits = process(self.context.tokens, logits)
        return logits

    def begin_context(self) -> None:
        if self.processors and self.context is None:
            from pensieve.device.mlx_lm.caches import TokenBuffer  # noqa: PLC0415 - half a second

            self.context = TokenBuffer(self.token_ids)

    def observe(self, token_id: mx.array) -> None:
        """Pass a token id [1] to the processors, before it is computed: `context` grows with the pass."""
        if self.processors:
            self.context.update_and_fetch(token_id)
