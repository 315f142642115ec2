"""A family's chat template with its tokenizer, without MLX, and the messages that tests render."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from contracts.values.vocabulary import ChatMessage, Role, Tool, ToolCall
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.prompts.spliced import Recall
from pensieve.models.tokenizers.dialect_of import dialect_of
from pensieve.models.tokenizers.fast_tokenizer import FastTokenizer, TokenizerMetadata
from tests.dialects.real.families import Family
from tests.dialects.real.tokenizers import tokenizer_of
from tests.support.tiny_model import CHATML

FOR_TOOLS_ALONE: Final = frozenset({"command-r-plus", "hermes-2-pro", "hermes-3"})
"""Families whose folders contain this template as "tool_use", next to a "default" one."""

LOOK_UP: Final = Tool(
    "look_up",
    "Finds the meaning of a word.",
    '{"type": "object", "properties": {"word": {"type": "string", "description": "The word."}}, "required": ["word"]}',
)


def tokenizer(family: Family) -> Any:
    """With `eos_token_ids`, as mlx-lm's wrapper has them."""
    backend = tokenizer_of(family)
    special = {"eos_token": family.eos[0]} | ({"bos_token": family.bos} if family.bos is not None else {})
    template: str | Mapping[str, str] = family.chat_template
    if family.name in FOR_TOOLS_ALONE:
        template = {"default": CHATML, "tool_use": family.chat_template}
    fast: Any = FastTokenizer(backend, TokenizerMetadata(special, template, 131072, {}))
    fast.eos_token_ids = {backend.token_to_id(token) for token in family.eos}
    return fast


def chat_template(
    family: Family, recall: Recall | None = None, clock: Callable[[], datetime] = datetime.now
) -> ChatTemplate:
    fast = tokenizer(family)
    return ChatTemplate(fast, dialect_of(fast), recall, clock=clock)


@lru_cache(2)
def shared_template(family: Family) -> tuple[ChatTemplate, dict[ChatMessage, list[int]]]:
    """One template for all tests of a family, because finding the form it needs takes a hundred renderings.

    It recalls the answers in the dictionary, which a test empties after use.
    """
    answers: dict[ChatMessage, list[int]] = {}
    return chat_template(family, lambda message, _: answers.get(message)), answers


def text_of(template: ChatTemplate, *arguments: Any) -> str:
    """The prompt's text, control tokens included."""
    backend = template._tokenizer.backend_tokenizer
    return str(backend.decode(template.render(*arguments).token_ids, skip_special_tokens=False))


def system(text: str) -> ChatMessage:
    return ChatMessage(Role.SYSTEM, text)


def user(text: str) -> ChatMessage:
    return ChatMessage(Role.USER, text)


def assistant(text: str, *calls: ToolCall, thinking: str = "") -> ChatMessage:
    return ChatMessage(Role.ASSISTANT, text, thinking=thinking, tool_calls=calls)


def call(number: int, word: str) -> ToolCall:
    return ToolCall(f"toolu_{number:020}", LOOK_UP.name, f'{{"word": "{word}"}}')


def result(number: int, text: str, *, is_error: bool = False) -> ChatMessage:
    return ChatMessage(Role.TOOL, text, tool_call_id=f"toolu_{number:020}", is_error=is_error)
