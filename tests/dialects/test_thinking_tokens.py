"""The tokens that open and close the thinking of real families, and the templates that write them."""

from __future__ import annotations

import pytest

from contracts.values.vocabulary import ChatMessage, Role, Thinking
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.tokenizers.dialect_of import dialect_of
from pensieve.models.tokenizers.thinking_tokens import thinking_tokens
from tests.dialects.real.families import family
from tests.dialects.real.rendering import tokenizer

HI = (ChatMessage(Role.USER, "Hi"),)

CLOSED_BY_TEMPLATE = (
    "qwen3",
    "qwen3.5",
    "deepseek-v3.1",
    "gemma-4",
    "command-r7b",
    "glm-4.6",
    "glm-4.7",
    "nemotron-3",
    "minimax-m3",
    "seed-oss",
)
"""With thinking off."""
LEFT_TO_THE_MODEL = (
    "gpt-oss",
    "qwen3-coder",
    "ministral-3",
    "apertus",
    "solar-open",
    "bielik",
    "kimi-k3",  # whose prompt opens the response in place of the thinking
)
OPENED_BY_TEMPLATE = ("deepseek-r1", "minimax-m2")
"""Even with thinking off."""
WITHOUT_TOKENS = ("qwen2.5", "gemma-3", "granite-3.3")


def prompts(name: str) -> tuple[bool, bool, bool] | None:
    """With thinking off: whether a prompt ends with closed, and with open thinking. With thinking on: with closed."""
    fast = tokenizer(family(name))
    dialect = dialect_of(fast)
    tokens = thinking_tokens(dialect, fast)
    if tokens is None:
        return None
    for ids, mark in ((tokens.open_ids, dialect.think_start), (tokens.close_ids, dialect.think_end)):
        assert fast.decode(ids) == dialect.marks.plain(mark or "").rstrip()
    template = ChatTemplate(fast, dialect)
    off, on = (template.render(HI, (), Thinking(enabled=enabled)) for enabled in (False, True))
    return tokens.are_closed_in(off.token_ids), off.starts_thinking, tokens.are_closed_in(on.token_ids)


@pytest.mark.parametrize("name", CLOSED_BY_TEMPLATE)
def test_a_prompt_shows_that_its_template_closed_the_thinking(name: str) -> None:
    assert prompts(name) == (True, False, False)


@pytest.mark.parametrize("name", LEFT_TO_THE_MODEL)
def test_a_prompt_shows_that_the_model_may_open_thinking(name: str) -> None:
    """In gpt-oss and Solar the mark that closes thinking also ends the user's turn, where it closes nothing."""
    assert prompts(name) == (False, False, False)


@pytest.mark.parametrize("name", OPENED_BY_TEMPLATE)
def test_a_prompt_shows_that_its_template_opened_thinking(name: str) -> None:
    assert prompts(name) == (False, True, False)


@pytest.mark.parametrize("name", WITHOUT_TOKENS)
def test_a_family_without_tokens_for_thinking_has_none_to_count(name: str) -> None:
    assert prompts(name) is None
