"""Of the added tokens, those that are ordinary text become vocabulary for llguidance; all else stays as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE, Unigram
from tokenizers.processors import TemplateProcessing

from pensieve.models.tokenizers.grammar_tokenizer import grammar_tokenizer

WORDS = {"a": 0, "b": 1, "<table>": 2}
ADDED = [
    AddedToken("<|end|>", special=True),
    AddedToken("<table>", special=False),
    AddedToken("<tool_call>", special=False),
    AddedToken("<br>", special=False),
    AddedToken("plain", special=False),
]


def made(words: dict[str, int], *added: AddedToken) -> Tokenizer:
    tokenizer = Tokenizer(BPE(words, []))
    tokenizer.add_tokens(list(added))
    return tokenizer


def seen_by_llguidance(tokenizer: Tokenizer, *marks: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tokenizer.json before and after."""
    original = tokenizer.to_str()
    changed = grammar_tokenizer(original, [tokenizer.get_vocab()[mark] for mark in marks])
    Tokenizer.from_str(changed)
    return json.loads(original), json.loads(changed)


@pytest.mark.parametrize("words", [WORDS, {}])
def test_text_becomes_vocabulary_and_marks_special_tokens_and_all_else_stay(words: dict[str, int]) -> None:
    tokenizer = made(words, *ADDED)
    before, after = seen_by_llguidance(tokenizer, "<tool_call>")
    text = {token: tokenizer.token_to_id(token) for token in ("<table>", "<br>")}
    assert [token["content"] for token in after.pop("added_tokens")] == ["<|end|>", "<tool_call>", "plain"]
    assert after["model"].pop("vocab") == {**before["model"].pop("vocab"), **text}
    del before["added_tokens"]
    assert after == before


def test_a_tokenizer_without_such_text_is_unchanged() -> None:
    before, after = seen_by_llguidance(made(WORDS, ADDED[0]))
    assert after == before


def test_the_vocabulary_is_found_if_tokens_have_its_name() -> None:
    tokenizer = made(WORDS, *(AddedToken(name, special=True) for name in ("vocab", "model")), AddedToken("<br>"))
    ids = [(name, tokenizer.token_to_id(name)) for name in ("vocab", "model")]
    tokenizer.post_processor = TemplateProcessing(single="vocab model $A", special_tokens=ids)
    before, after = seen_by_llguidance(tokenizer)
    assert after["model"]["vocab"] == {**before["model"]["vocab"], "<br>": 5}
    assert after["post_processor"] == before["post_processor"]


def test_a_unigram_vocabulary_stays_as_it_is_beside_text() -> None:
    tokenizer = Tokenizer(Unigram([("a", -1.0)], None, byte_fallback=False))
    tokenizer.add_tokens([AddedToken("<br>", special=False)])
    before, after = seen_by_llguidance(tokenizer)
    assert after == before
