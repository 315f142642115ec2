"""Words to avoid are found in prose and in identifiers, but not inside other words."""

from __future__ import annotations

import pytest

from tests.style.words import findings


@pytest.mark.parametrize(
    "line",
    [
        "the client is told",
        "def told_early(self) -> None:",
        "class ToldAnswer:",
        "fix it, or mend the file",
        "this is no folder",
        "most_tokens = 4",
        "Nobody waits",
        "for so many tokens",
    ],
)
def test_a_word_to_avoid_is_found(line: str) -> None:
    assert len(list(findings(line))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "an untold story",
        "amend the commit",
        "there is no room",
        "it is no longer here",
        "Counter(words).most_common(3)",
        'print("you told me")  # words: quoted',
    ],
)
def test_other_words_are_not_reported(line: str) -> None:
    assert not list(findings(line))
