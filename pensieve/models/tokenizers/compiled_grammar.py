"""A grammar compiled for a tokenizer, and how far an answer is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from llguidance import LLMatcher

_GRAMMAR_BYTES: Final = 256_000
_CHARACTER_BYTES: Final = 150
"""What llguidance 1.9 takes for a grammar: 0.04 to 0.2 MB for a few hundred characters, 120 to 140 bytes for each of a
long one, and 0.03 to 0.9 MB more as texts are matched against it.
"""
_TOKEN_BYTES: Final = 8_000
"""What a grammar learns for each token of an answer: 6 KB for texts with a `maxLength`, less than 1 for other texts, up
to 37 for some patterns. All copies of a grammar share it.
"""


class CompiledGrammar:
    """One for each text of a grammar. Answers have copies of their own, which share what is learned of the text."""

    def __init__(self, matcher: LLMatcher, num_characters: int) -> None:
        self._matcher = matcher
        self._compiled_bytes = _GRAMMAR_BYTES + _CHARACTER_BYTES * num_characters
        self.num_tokens = 0
        """Of all answers so far."""
        self.is_broken = False
        """It has reached a limit, and with it all its copies."""

    @property
    def num_bytes(self) -> int:
        return self._compiled_bytes + _TOKEN_BYTES * self.num_tokens

    def new_matcher(self) -> AnswerMatcher:
        return AnswerMatcher(self._matcher.deep_copy(), self)


@dataclass(frozen=True, slots=True, eq=False)
class AnswerMatcher:
    """The state of one answer in its grammar."""

    matcher: LLMatcher
    grammar: CompiledGrammar
