"""The prompt of a completion is encoded as it is: without a template, and with control tokens."""

from __future__ import annotations

import asyncio
from functools import cache
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from contracts.values.vocabulary import ChatMessage, Prompt, Role
from pensieve.core.errors import ValidationError
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.models.prompts.chat_template import ChatTemplate
from tests.models.tokenizers.example_tokenizers import sentence_piece
from tests.support.engines import MakeEngine

BOS = 1


@cache
def tokenizer_with_bos() -> Any:
    """A tokenizer like Llama's, which puts <s> before every text."""
    import_mlx_lm()
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - only after import_mlx_lm

    backend = Tokenizer.from_str(sentence_piece().to_str())
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    make: Any = PreTrainedTokenizerFast
    return make(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize("text", ["Hello", "<s>Hello"])
def test_the_bos_token_appears_once(text: str) -> None:
    token_ids = ChatTemplate(tokenizer_with_bos()).encode_raw(text)
    assert token_ids[0] == BOS
    assert token_ids.count(BOS) == 1


def test_an_explicit_second_bos_token_is_kept() -> None:
    assert ChatTemplate(tokenizer_with_bos()).encode_raw("<s><s>Hello").count(BOS) == 2


def test_a_raw_prompt_has_no_template_and_may_have_control_tokens(make_engine: MakeEngine) -> None:
    async def count(text: str, *, is_raw: bool) -> int:
        async with make_engine() as engine:
            return await engine.count_tokens(Prompt((ChatMessage(Role.USER, text),), is_raw=is_raw))

    assert asyncio.run(count("the", is_raw=True)) == 1
    assert asyncio.run(count("the", is_raw=False)) > 1
    assert asyncio.run(count("<|im_start|>", is_raw=True)) == 1


def test_an_empty_prompt_is_refused(make_engine: MakeEngine) -> None:
    async def count() -> None:
        async with make_engine() as engine:
            await engine.count_tokens(Prompt((ChatMessage(Role.USER, ""),), is_raw=True))

    with pytest.raises(ValidationError, match="prompt: must not be empty"):
        asyncio.run(count())
