"""Forces a script's replies through the real engine: real prompts and a real KV cache, but the script's tokens.

For testing clients and the prompt cache (`pensieve serve --model M --script FILE`): the model computes every prompt and
every token as usual, and a logits processor leaves the sampler one choice. The script has the format of
`pensieve.engine.scripted.script`; control tokens written in a reply become control tokens.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from contracts.values.vocabulary import GenerationRequest
from pensieve.core.errors import ModelLoadingError
from pensieve.engine.scripted.script import Script, ScriptedReply
from pensieve.models.loading.load import LoadedModel

_NEVER_FORCED = ("seconds_per_token", "prefill_seconds", "fail_after_tokens", "refuse_after_seconds")


class ForcedScript:
    """A script's replies as one model's tokens, each followed by the end of the turn.

    All replies are tokenised here, because another thread uses the tokenizer later.
    """

    def __init__(self, script: Script, model: LoadedModel) -> None:
        """
        Raises:
            ModelLoadingError: a reply sets a pace or a fault, which a real model cannot have.
        """
        self._script = script
        end_id = min(model.eos_token_ids)
        self._token_ids = {
            reply: [*_encode(model.tokenizer, _forcible(reply)), end_id] for reply in (*script.replies, ScriptedReply())
        }

    def processor_for(self, request: GenerationRequest) -> ForcedReply:
        """A logits processor that forces the reply to `request`. Use it once."""
        return ForcedReply(self._token_ids[self._script.reply_to(request)])


class ForcedReply:
    """A logits processor: (token ids so far, logits [1, vocabulary]) to logits, called once for each token.

    It never raises: after its last token, the end of the turn, it forces that token again.
    """

    def __init__(self, token_ids: list[int]) -> None:
        self._token_ids = token_ids
        self._num_forced = 0

    def __call__(self, token_ids: mx.array, logits: mx.array) -> mx.array:  # noqa: ARG002 - mlx-lm passes both
        forced = self._token_ids[min(self._num_forced, len(self._token_ids) - 1)]
        self._num_forced += 1
        return mx.where(mx.arange(logits.shape[-1]) == forced, logits, float("-inf"))


def _forcible(reply: ScriptedReply) -> str:
    unsupported = [name for name in _NEVER_FORCED if getattr(reply, name) != getattr(ScriptedReply(), name)]
    if unsupported:
        raise ModelLoadingError(
            "the script",
            f"{' and '.join(unsupported)}: not possible with a real model; remove them, or leave out --model",
        )
    return reply.text * reply.repeat


def _encode(tokenizer: Any, text: str) -> list[int]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return list(backend.encode(text, add_special_tokens=False).ids)
    return list(tokenizer.encode(text, add_special_tokens=False))
