"""Lets a prefilled prompt join the rows that are decoding, without a forward pass of its own.

mlx-lm computes a prompt's last token in a separate pass, which reads all the weights while the other rows wait. Here it
enters the next decode step as one more row. If no row is decoding, there is no such step, and mlx-lm's way is used.

Import this module after mlx-lm (`pensieve.device.mlx_lm.bootstrap`). Everything runs on the thread that owns MLX.
"""

from __future__ import annotations

import weakref
from typing import Any

import mlx.core as mx
from mlx_lm.generate import GenerationBatch, PromptProcessingBatch
from mlx_lm.models.cache import TokenBuffer

NOT_BEGUN = -1
"""A GenerationBatch's token count for a row whose next token is still the last token of its prompt."""


class JoiningPrompts(PromptProcessingBatch):  # type: ignore[misc]  # mlx-lm has no types
    """The prompts that a BatchGenerator prefills. Its caches must be `RowsKV`."""

    @classmethod
    def of(cls, generator: Any) -> JoiningPrompts:
        """A replacement for the generator's own prompt batch."""
        prompts: JoiningPrompts = cls.empty(
            generator.model, generator.sampler, prefill_step_size=generator.prefill_step_size
        )
        prompts._decoding = weakref.ref(generator._generation_batch)
        return prompts

    def _copy(self) -> JoiningPrompts:
        copied: JoiningPrompts = super()._copy()
        copied._decoding = self._decoding
        return copied

    def generate(self, tokens: list[list[int]]) -> Any:
        """The batch of the prompts that are prefilled except for their last token, `tokens` [rows][1]."""
        decoding = self._decoding()
        if decoding is None or not len(decoding):
            if decoding is not None:
                decoding.has_new_rows = True
            return super().generate(tokens)
        batch = GenerationBatch.empty(self.model, self.fallback_sampler)
        batch.uids, batch.prompt_cache, batch.tokens = self.uids, self.prompt_cache, self.tokens
        batch.samplers, batch.logits_processors = self.samplers, self.logits_processors
        batch.stop_sequences, batch.max_tokens = self.stop_sequences, self.max_tokens
        batch._next_tokens = mx.array([last for (last,) in tokens], mx.uint32)
        batch._next_logprobs = [None] * len(tokens)
        batch._token_context = [TokenBuffer(prefilled) for prefilled in self.tokens]
        batch._num_tokens = [NOT_BEGUN] * len(tokens)
        batch._matchers = [each.matcher() for each in self.stop_sequences]
        return batch
