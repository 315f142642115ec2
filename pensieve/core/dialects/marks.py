"""Marks that are single tokens of a model, represented by one private-use character each.

`<tool_call>` is one added token of Qwen3. Only that token opens a call; the same eleven characters spelled by other
tokens are text. So decoded text, dialects and grammars hold a character from the end of Unicode's last private-use
plane in place of each such token, which no text can spell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

FIRST_CODE: Final = 0x10FF00
LAST_CODE: Final = 0x10FFFD
RANGE: Final = f"{chr(FIRST_CODE)}-{chr(LAST_CODE)}"
"""For use inside a character class of a regular expression."""
_ANY: Final = re.compile(f"[{RANGE}]")


@dataclass(frozen=True)
class Marks:
    """`token_ids` are the tokens that are marks, keyed by their text."""

    token_ids: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def characters(self) -> Mapping[int, str]:
        """The character that represents each token id."""
        return {self.token_ids[text]: character for text, character in self._by_text.items()}

    @cached_property
    def _by_text(self) -> Mapping[str, str]:
        return {text: chr(FIRST_CODE + number) for number, text in enumerate(sorted(self.token_ids))}

    @cached_property
    def _texts(self) -> Mapping[str, str]:
        return {character: text for text, character in self._by_text.items()}

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        longest_first = sorted(self.token_ids, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def bound(self, text: str) -> str:
        """`text` with each mark replaced by its character, found as the tokenizer would find it."""
        return text if self._pattern is None else self._pattern.sub(lambda found: self._by_text[found[0]], text)

    def plain(self, text: str) -> str:
        """The text as a reader sees it; the inverse of `bound`."""
        return _ANY.sub(lambda found: self._texts.get(found[0], ""), text) if self._texts else text

    def plain_in(self, value: Any) -> Any:
        """A JSON value with all its strings and keys plain."""
        match value:
            case str():
                return self.plain(value)
            case dict():
                return {self.plain(key): self.plain_in(part) for key, part in value.items()}
            case list():
                return [self.plain_in(part) for part in value]
            case _:
                return value

    def token_id(self, character: str) -> int:
        return self.token_ids[self._texts[character]]


def marks_in(texts: Iterable[str], added_tokens: Mapping[str, int]) -> Marks:
    """The added tokens of a tokenizer that occur in any of the texts.

    As in the tokenizer, the leftmost match counts, and of several there the longest. White space is never a mark,
    although some families have runs of it as added tokens.
    """
    contents = sorted((content for content in added_tokens if content.strip()), key=len, reverse=True)
    if not contents:
        return Marks()
    pattern = re.compile("|".join(map(re.escape, contents)))
    found = sorted({content for text in texts for content in pattern.findall(text)})
    return Marks({content: added_tokens[content] for content in found[: LAST_CODE - FIRST_CODE + 1]})


def is_mark(character: str) -> bool:
    return FIRST_CODE <= ord(character) <= LAST_CODE
