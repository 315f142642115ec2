"""A prompt that is read joins those that are being answered without a pass of its own.

mlx-lm computes the last token of a prompt by itself, reading all the weights for it while the others halt. Here it goes
into the next decode step as one row more. Where nobody else is being answered there is no such step to wait for, and
mlx-lm's way is taken.

To be imported after mlx-lm is (`pensieve.device.mlx_lm.bootstrap`). All on the thread that owns MLX.
"""

from __future__ import annotations

import weakref
from typing import Any

import mlx.core as mx
from mlx_lm.generate import GenerationBatch, PromptProcessingBatch
from mlx_lm.models.cache import TokenBuffer

NOT_BEGUN = -1
"""In a GenerationBatch, the number of tokens of an answer whose prompt's last token is the row's next one."""


class JoiningPrompts(PromptProcessingBatch):  # type: ignore[misc]  # mlx-lm has no types
    """The prompts that a BatchGenerator reads. Its caches have to be `RowsKV`."""

    @classmethod
    def of(cls, generator: Any) -> JoiningPrompts:
        """In the place of the generator's own."""
        prompts: JoiningPrompts = cls.empty(
            generator.model, generator.sampler, prefill_step_size=generator.prefill_step_size
        )
        prompts._answering = weakref.ref(generator._generation_batch)
        return prompts

    def _copy(self) -> JoiningPrompts:
        copied: JoiningPrompts = super()._copy()
        copied._answering = self._answering
        return copied

    def generate(self, tokens: list[list[int]]) -> Any:
        """The batch of those whose prompts are read but for their last token, `tokens` [rows][1]."""
        answering = self._answering()
        if answering is None or not len(answering):
            if answering is not None:
                answering.begins = True
            return super().generate(tokens)
        batch = GenerationBatch.empty(self.model, self.fallback_sampler)
        batch.uids, batch.prompt_cache, batch.tokens = self.uids, self.prompt_cache, self.tokens
        batch.samplers, batch.logits_processors = self.samplers, self.logits_processors
        batch.stop_sequences, batch.max_tokens = self.stop_sequences, self.max_tokens
        batch._next_tokens = mx.array([last for (last,) in tokens], mx.uint32)
        batch._next_logprobs = [None] * len(tokens)
        batch._token_context = [TokenBuffer(known) for known in self.tokens]
        batch._num_tokens = [NOT_BEGUN] * len(tokens)
        batch._matchers = [each.matcher() for each in self.stop_sequences]
        return batch
