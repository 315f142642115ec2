"""The tokens that open and close a model's thinking, for enforcing a thinking budget while decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pensieve.core.dialects.dialect import Dialect

_BLANKS: Final = ("\n", "\n\n", "\n\n\n", " ", "  ")
"""What templates write after thinking that they close themselves."""


@dataclass(frozen=True, slots=True)
class ThinkingTokens:
    """`open_ids` are empty if the model cannot open thinking itself. `blank_ids` are tokens of white space."""

    open_ids: tuple[int, ...]
    close_ids: tuple[int, ...]
    blank_ids: frozenset[int] = frozenset()

    def are_closed_in(self, token_ids: Sequence[int]) -> bool:
        """Whether a prompt ends with closed thinking, optionally followed by white space."""
        end = len(token_ids)
        while end and token_ids[end - 1] in self.blank_ids:
            end -= 1
        return tuple(token_ids[max(0, end - len(self.close_ids)) : end]) == self.close_ids


def thinking_tokens(dialect: Dialect, tokenizer: Any) -> ThinkingTokens | None:
    """The thinking tokens of the model with this tokenizer.

    None if the mark that closes thinking contains no added token: the tokens of plain text depend on its surroundings,
    so the mark could be missed, and then be forced into the answer a second time.
    """
    if not _has_own_token(dialect, dialect.think_end):
        return None
    opening = (dialect.think_start or "").rstrip() if _has_own_token(dialect, dialect.think_start) else ""
    blanks = [ids[0] for blank in _BLANKS if len(ids := _encoded(dialect, tokenizer, blank)) == 1]
    close_ids = _encoded(dialect, tokenizer, dialect.think_end or "")
    return ThinkingTokens(_encoded(dialect, tokenizer, opening), close_ids, frozenset(blanks))


def _has_own_token(dialect: Dialect, mark: str | None) -> bool:
    return bool(mark) and dialect.marks.plain(mark or "") != mark


def _encoded(dialect: Dialect, tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.backend_tokenizer.encode(dialect.marks.plain(text), add_special_tokens=False).ids)
