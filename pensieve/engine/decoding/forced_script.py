"""A script's words through the real engine: real prompts, real KV, and sampled tokens that are the script's.

For tests of clients and of what is kept between turns (`pensieve serve --model M --script FILE`): the model computes
every prompt and every token as it would any other, and a logits processor leaves the sampler one choice. The format is
that of `pensieve.engine.scripted.script`; control tokens that a reply spells are control tokens.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from contracts.values.vocabulary import GenerationRequest
from pensieve.core.errors import ModelLoadingError
from pensieve.engine.scripted.script import Reply, Script
from pensieve.models.loading.load import LoadedModel

_NEVER_FORCED = ("seconds_per_token", "prefill_seconds", "fail_after_tokens")


class ForcedScript:
    """A script's replies as one model's tokens, each with the end of the turn behind it.

    They are tokenised once and for all here, since the tokenizer is later in use by another thread.
    """

    def __init__(self, script: Script, model: LoadedModel) -> None:
        """
        Raises:
            ModelLoadingError: a reply has a pace or a fault of its own, which a real model cannot be given.
        """
        self._script = script
        end_id = min(model.eos_token_ids)
        self._token_ids = {
            reply: [*_encode(model.tokenizer, _forcible(reply)), end_id] for reply in (*script.replies, Reply())
        }

    def processor_for(self, request: GenerationRequest) -> ForcedReply:
        """A logits processor of the reply to `request`, for one use."""
        return ForcedReply(self._token_ids[self._script.reply_to(request)])


class ForcedReply:
    """A logits processor of mlx-lm: (token ids so far, logits [1, vocabulary]) to logits, called once for each token.

    It never raises: past its last token, the end of the turn, it forces that again.
    """

    def __init__(self, token_ids: list[int]) -> None:
        self._token_ids = token_ids
        self._num_forced = 0

    def __call__(self, token_ids: mx.array, logits: mx.array) -> mx.array:  # noqa: ARG002 - mlx-lm gives both
        wanted = self._token_ids[min(self._num_forced, len(self._token_ids) - 1)]
        self._num_forced += 1
        return mx.where(mx.arange(logits.shape[-1]) == wanted, logits, float("-inf"))


def _forcible(reply: Reply) -> str:
    odd = [name for name in _NEVER_FORCED if getattr(reply, name) != getattr(Reply(), name)]
    if odd:
        raise ModelLoadingError("the script", f"{' and '.join(odd)}: a model keeps its own pace; leave --model out")
    return reply.text * reply.repeat


def _encode(tokenizer: Any, text: str) -> list[int]:
    """`tokenizer` is mlx-lm's TokenizerWrapper."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return list(backend.encode(text, add_special_tokens=False).ids)
    return list(tokenizer.encode(text, add_special_tokens=False))
