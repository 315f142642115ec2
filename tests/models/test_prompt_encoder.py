"""Texts that were encoded once are the same tokens again, and take no more room than they may."""

from __future__ import annotations

from typing import Any

import pytest

from pensieve.models import prompt_encoder
from pensieve.models.literals import Literals
from pensieve.models.prompt_encoder import PromptEncoder


class Backend:
    """A tokenizer of one token a character, which counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, text: str, *, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        self.asked.append(text)
        return Encoding(text)


class Encoding:
    def __init__(self, text: str) -> None:
        self.ids = [ord(character) for character in text]
        self.offsets = [(index, index + 1) for index in range(len(text))]


class Tokenizer:
    def __init__(self) -> None:
        self.backend_tokenizer = Backend()


def test_a_text_is_encoded_once() -> None:
    tokenizer = Tokenizer()
    encoder, literals = PromptEncoder(tokenizer, has_template=True), Literals((), None)
    text = f"one{literals.splice((7, 8))}two"
    first, again = encoder.encode(literals, text), encoder.encode(literals, text + "!")
    assert first.token_ids == [*map(ord, "one"), 7, 8, *map(ord, "two")]
    assert again.token_ids == [*first.token_ids[:5], *map(ord, "two!")]
    assert tokenizer.backend_tokenizer.asked == ["one", "two", "two!"]
    assert [again.num_tokens_within(number) for number in (0, 2, 3, 4, 6, 7, 99)] == [0, 2, 3, 3, 5, 6, 9]


def test_the_least_recently_used_texts_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_encoder, "MOST_CHARACTERS", 6)
    tokenizer = Tokenizer()
    encoder, literals = PromptEncoder(tokenizer, has_template=True), Literals((), None)
    for text in ("one", "two", "one", "six", "one", "two", "too long"):
        assert encoder.encode(literals, text).token_ids == [*map(ord, text)]
    assert tokenizer.backend_tokenizer.asked == ["one", "two", "six", "two", "too long"]
