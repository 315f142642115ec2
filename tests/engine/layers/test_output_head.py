"""Logits of one position are those of a whole pass, or the model stays as it was."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest

from pensieve.engine.layers.output_head import OutputHead
from tests.engine.kv.models import small
from tests.engine.support.tiny_modules import new_caches, prompt, tiny_module

TOKENS = mx.array([prompt(9, 1), prompt(9, 2)])


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "gemma3_text", "qwen3_5", "gpt_oss", "deepseek_v3"])
def test_selected_logits_are_those_of_a_whole_pass(model_type: str) -> None:
    """With an output layer, and with tied embeddings."""
    model = small(model_type).model
    expected = model(TOKENS)
    head = OutputHead.of(model)
    assert head is not None
    with head.only_at(mx.array([8, 3])):
        selected = model(TOKENS)
    assert selected.shape == (2, 1, expected.shape[-1])
    assert mx.allclose(selected[:, 0], mx.stack([expected[0, 8], expected[1, 3]]), atol=1e-4)
    assert mx.allclose(model(TOKENS), expected, atol=1e-4), "outside the context, all of them"


def test_a_model_has_one_head() -> None:
    model = tiny_module("llama").model
    assert OutputHead.of(model) is OutputHead.of(model)


class Reversing:
    """A model that does something with the positions of its logits."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, token_ids: mx.array, **options: Any) -> mx.array:
        logits: mx.array = self._model(token_ids, **options)
        return logits[:, ::-1] + logits.shape[1]


def test_a_model_that_computes_other_logits_with_a_head_stays_as_it_was() -> None:
    loaded = tiny_module("llama")
    before = loaded.model(TOKENS, cache=new_caches(loaded))
    assert OutputHead.of(Reversing(loaded.model)) is None
    assert not any(isinstance(module, OutputHead) for _, module in loaded.model.named_modules())
    assert mx.array_equal(loaded.model(TOKENS, cache=new_caches(loaded)), before)


def test_a_head_is_used_although_the_first_tokens_are_unused() -> None:
    """All logits after a token whose embedding is zero are zero, which says nothing about the head."""
    model = tiny_module("llama").model
    embeddings = model.model.embed_tokens
    embeddings.weight = mx.concatenate([mx.zeros_like(embeddings.weight[:3]), embeddings.weight[3:]])
    assert OutputHead.of(model) is not None
