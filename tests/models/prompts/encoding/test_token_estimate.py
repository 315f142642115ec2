"""A prompt beyond the window is recognised from a part of it, and one that fits never is."""

import random
from functools import partial

import pytest

from pensieve.models.prompts.encoding import token_estimate
from pensieve.models.prompts.encoding.token_estimate import CHARACTERS_PER_TOKEN, PromptText, tokens_beyond
from pensieve.models.tokenizers import unlocked
from tests.models.tokenizers.example_tokenizers import embedded

WINDOW = 2000


class Words:
    """One token a word. Records how many characters it has read."""

    def __init__(self) -> None:
        self.num_read = 0

    def __call__(self, text: str) -> int:
        self.num_read += len(text)
        return len(text.split())


def test_a_long_text_is_estimated_from_a_part_of_it() -> None:
    count = Words()
    text = "word " * 400_000
    found = tokens_beyond(WINDOW, [PromptText(text)], count)
    assert found is not None
    assert abs(found - 400_000) < 4000
    assert count.num_read < len(text) // 50


def test_the_part_is_taken_from_all_over_the_texts() -> None:
    text = "a " * 500_000 + "longer words follow now " * 100_000
    found = tokens_beyond(20 * WINDOW, [PromptText(text)], Words())
    assert found is not None
    assert abs(found - 900_000) < 90_000


def test_a_text_that_may_fit_is_left_to_the_tokenizer() -> None:
    count = Words()
    assert tokens_beyond(WINDOW, [PromptText("x" * WINDOW * CHARACTERS_PER_TOKEN)], count) is None
    assert count.num_read == 0
    assert tokens_beyond(WINDOW, [PromptText(" " * 1_000_000)], count) is None
    assert tokens_beyond(WINDOW, [PromptText("longer words " * WINDOW)], count) is None
    assert tokens_beyond(WINDOW, [PromptText("longer words " * 3 * WINDOW, kept=0.25)], count) is None


def test_no_text_that_fits_counts_as_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks have more tokens than the text that they are cut from, by a few at each cut."""
    monkeypatch.setattr(token_estimate, "CHARACTERS_PER_TOKEN", 0)
    monkeypatch.setattr(token_estimate, "EXACT_WINDOWS", 1)
    randomness = random.Random(1)  # noqa: S311 - not for secrets
    parts = ("word", " word", "\n", "   ", "1234567890", "é猫", "aaaa", "</tag>", "\r\n\t")
    for _ in range(3):
        text = "".join(randomness.choice(parts) * randomness.randint(1, 40) for _ in range(3000))
        exact = unlocked.count(embedded(), text)
        assert tokens_beyond(exact, [PromptText(text)], partial(unlocked.count, embedded())) is None
