"""A completion's prompt is read as it stands: no template, no literal control tokens."""

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
def with_first_token() -> Any:
    """As Llama's: the tokenizer puts <s> before every text."""
    import_mlx_lm()
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415 - only after import_mlx_lm

    backend = Tokenizer.from_str(sentence_piece().to_str())
    backend.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", BOS)])
    make: Any = PreTrainedTokenizerFast
    return make(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@pytest.mark.parametrize("text", ["Hello", "<s>Hello"])
def test_the_first_token_is_there_once(text: str) -> None:
    token_ids = ChatTemplate(with_first_token()).encode_raw(text)
    assert token_ids[0] == BOS
    assert token_ids.count(BOS) == 1


def test_a_first_token_that_is_written_twice_on_purpose_costs_one() -> None:
    assert ChatTemplate(with_first_token()).encode_raw("<s><s>Hello").count(BOS) == 2


def test_no_template_is_put_around_it_and_control_tokens_are_read(make_engine: MakeEngine) -> None:
    async def counted(text: str, *, is_raw: bool) -> int:
        async with make_engine() as engine:
            return await engine.count_tokens(Prompt((ChatMessage(Role.USER, text),), is_raw=is_raw))

    assert asyncio.run(counted("hi", is_raw=True)) == 1
    assert asyncio.run(counted("hi", is_raw=False)) > 1
    assert asyncio.run(counted("<|im_start|>", is_raw=True)) == 1


def test_nothing_cannot_be_continued(make_engine: MakeEngine) -> None:
    async def count() -> None:
        async with make_engine() as engine:
            await engine.count_tokens(Prompt((ChatMessage(Role.USER, ""),), is_raw=True))

    with pytest.raises(ValidationError, match="prompt: must not be empty"):
        asyncio.run(count())
