"""Where the thinking of real families begins and ends among their tokens, and which templates close it themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.values.vocabulary import ChatMessage, Role, Thinking
from pensieve.models.prompts.chat_template import ChatTemplate
from pensieve.models.tokenizers.dialect_of import dialect_of
from pensieve.models.tokenizers.load import load_tokenizer
from pensieve.models.tokenizers.thinking_tokens import thinking_tokens
from tests.dialects.real.families import family
from tests.dialects.real.tokenizers import write_family

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
"""With thinking switched off."""
LEFT_TO_THE_MODEL = (
    "gpt-oss",
    "qwen3-coder",
    "ministral-3",
    "apertus",
    "solar-open",
    "bielik",
)
OPENED_BY_TEMPLATE = ("deepseek-r1", "minimax-m2", "kimi-k3")
"""Even with thinking switched off."""
WITHOUT_TOKENS = ("qwen2.5", "gemma-3", "granite-3.3")


def prompts(name: str, folder: Path) -> tuple[bool, bool, bool] | None:
    """Whether the prompt ends with thinking closed, and open, where it is off; and whether closed, where it is on."""
    tokenizer = load_tokenizer(write_family(folder, family(name)), None)
    dialect = dialect_of(tokenizer)
    tokens = thinking_tokens(dialect, tokenizer)
    if tokens is None:
        return None
    for ids, mark in ((tokens.open_ids, dialect.think_start), (tokens.close_ids, dialect.think_end)):
        assert tokenizer.decode(ids) == dialect.marks.plain(mark or "").rstrip()
    template = ChatTemplate(tokenizer, dialect)
    off, on = (template.render(HI, (), Thinking(enabled=enabled)) for enabled in (False, True))
    return tokens.are_closed_in(off.token_ids), off.starts_thinking, tokens.are_closed_in(on.token_ids)


@pytest.mark.parametrize("name", CLOSED_BY_TEMPLATE)
def test_a_template_that_closes_thinking_is_known_by_its_prompt(name: str, tmp_path: Path) -> None:
    assert prompts(name, tmp_path) == (True, False, False)


@pytest.mark.parametrize("name", LEFT_TO_THE_MODEL)
def test_a_model_that_may_begin_to_think_is_known_by_its_prompt(name: str, tmp_path: Path) -> None:
    """In gpt-oss and Solar the mark that closes thinking ends the user's turn as well: that closes nothing."""
    assert prompts(name, tmp_path) == (False, False, False)


@pytest.mark.parametrize("name", OPENED_BY_TEMPLATE)
def test_a_template_that_opens_thinking_regardless_is_known_by_its_prompt(name: str, tmp_path: Path) -> None:
    assert prompts(name, tmp_path) == (False, True, False)


@pytest.mark.parametrize("name", WITHOUT_TOKENS)
def test_a_family_without_thinking_or_without_tokens_for_it_is_not_counted(name: str, tmp_path: Path) -> None:
    assert prompts(name, tmp_path) is None
