"""The chat template of a family with its tokenizer, without MLX."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from contracts.values.vocabulary import ChatMessage, Role, Tool, ToolCall
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.prompts.spliced import Recall
from pensieve.models.tokenizers.dialect_of import dialect_of
from pensieve.models.tokenizers.fast_tokenizer import FastTokenizer, TokenizerMetadata
from tests.dialects.real.families import Family, tokenizer_of
from tests.support.tiny_model import CHATML

FOR_TOOLS_ALONE: Final = frozenset({"command-r-plus", "hermes-2-pro", "hermes-3"})
"""Families whose folders have this template under the name "tool_use", beside a "default" one."""

LOOK_UP: Final = Tool(
    "look_up",
    "Finds the meaning of a word.",
    '{"type": "object", "properties": {"word": {"type": "string", "description": "The word."}}, "required": ["word"]}',
)


def tokenizer(family: Family) -> Any:
    """With the ids of `eos_token_ids`, which mlx-lm's wrapper has."""
    backend = tokenizer_of(family)
    special = {"eos_token": family.eos[0]} | ({"bos_token": family.bos} if family.bos is not None else {})
    template: str | Mapping[str, str] = family.chat_template
    if family.name in FOR_TOOLS_ALONE:
        template = {"default": CHATML, "tool_use": family.chat_template}
    made: Any = FastTokenizer(backend, TokenizerMetadata(special, template, 131072, {}))
    made.eos_token_ids = {backend.token_to_id(token) for token in family.eos}
    return made


def chat_template(
    family: Family, recall: Recall | None = None, clock: Callable[[], datetime] = datetime.now
) -> ChatTemplate:
    known = tokenizer(family)
    return ChatTemplate(known, dialect_of(known), recall, clock=clock)


def text_of(template: ChatTemplate, *arguments: Any) -> str:
    """The prompt as text, with its control tokens."""
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
