"""A prompt beyond the window is recognised from a part of it, and one that fits never is."""

import random

from pensieve.models.prompts.encoding.token_estimate import CHARACTERS_PER_TOKEN, PromptText, TokenEstimate
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
    found = TokenEstimate(count).beyond(WINDOW, [PromptText(text)])
    assert found is not None
    assert abs(found - 400_000) < 4000
    assert count.num_read < len(text) // 50


def test_the_part_is_taken_from_all_over_the_texts() -> None:
    text = "a " * 500_000 + "longer words follow now " * 100_000
    found = TokenEstimate(Words()).beyond(20 * WINDOW, [PromptText(text)])
    assert found is not None
    assert abs(found - 900_000) < 90_000


def test_a_text_that_may_fit_is_left_to_the_tokenizer() -> None:
    count = Words()
    estimate = TokenEstimate(count)
    assert estimate.beyond(WINDOW, [PromptText("x" * WINDOW * CHARACTERS_PER_TOKEN)]) is None
    assert count.num_read == 0
    assert estimate.beyond(WINDOW, [PromptText(" " * 1_000_000)]) is None
    assert estimate.beyond(WINDOW, [PromptText("word " * 4000, kept=0.25)]) is None


def test_texts_that_are_sent_again_are_counted_once() -> None:
    count = Words()
    estimate = TokenEstimate(count)
    texts = [PromptText("words " * 100 + str(number)) for number in range(15)]
    assert estimate.beyond(WINDOW, texts) is None
    before = count.num_read
    assert estimate.beyond(WINDOW, [*texts, PromptText("one more")]) is None
    assert count.num_read == before + len("one more")


def test_no_text_that_fits_counts_as_too_long() -> None:
    """Chunks have more tokens than the text that they are cut from, by a few at each cut."""
    randomness = random.Random(1)
    parts = ("word", " word", "\n", "   ", "1234567890", "é猫", "aaaa", "</tag>", "\r\n\t")
    for _ in range(3):
        text = "".join(randomness.choice(parts) * randomness.randint(1, 40) for _ in range(3000))
        exact = unlocked.count(embedded(), text)
        assert TokenEstimate(lambda part: unlocked.count(embedded(), part)).beyond(exact, [PromptText(text)]) is None
