"""Parts of a prompt that the template does not see: text that must stay text whatever it spells, and answers that are
put back as the tokens that they were generated as (design: a request's way, 2; C1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

_PRIVATE_USE: Final = range(0xF0000, 0xFFFFE)


@dataclass(frozen=True, slots=True)
class Literal:
    """Text in which control tokens are text."""

    text: str


@dataclass(frozen=True, slots=True)
class Spliced:
    """Tokens as they were generated."""

    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the rendered conversation, which starts at the character `start` and has `length` of them there."""

    start: int
    length: int
    content: str | Literal | Spliced


class Literals:
    """Keeps what looks like a control token in the messages out of the template's sight and the tokenizer's reach.

    Each is replaced by a mark of private-use characters that occur in no message, and put back, as text, when the
    rendered conversation is encoded. Where there is nothing to hide, the text stays in one piece, exactly as it was.
    Equal texts have equal marks, so that a conversation rendered twice is the same twice.
    """

    def __init__(self, texts: Iterable[str], control_tokens: re.Pattern[str] | None) -> None:
        """`texts` are all that `hide` may be asked about."""
        used: set[str] = set().union(*texts)
        self._fence = next(chr(code) for code in _PRIVATE_USE if chr(code) not in used)
        self._control_tokens = control_tokens
        self._contents: list[Literal | Spliced] = []
        self._marks: dict[str, str] = {}
        self.end_mark = f"{self._fence}end{self._fence}"
        """Stands for a text of its own, that nothing else can be mistaken for."""

    def hide(self, text: str) -> str:
        if self._control_tokens is None:
            return text
        return self._control_tokens.sub(lambda match: self._mark_of(match[0]), text)

    def hide_in(self, value: Any) -> Any:
        """A value of JSON with all of its strings hidden, keys as well."""
        match value:
            case str():
                return self.hide(value)
            case dict():
                return {self.hide(key): self.hide_in(part) for key, part in value.items()}
            case list():
                return [self.hide_in(part) for part in value]
            case _:
                return value

    def splice(self, token_ids: Sequence[int]) -> str:
        """A mark for tokens to be put in its place, unlike every other mark."""
        return self._new_mark(Spliced(tuple(token_ids)))

    def is_splice(self, text: str) -> bool:
        """Whether a text is the mark of tokens, and nothing else."""
        found = re.fullmatch(f"{self._fence}(\\d+){self._fence}", text)
        return found is not None and isinstance(self._contents[int(found[1])], Spliced)

    def reveal(self, rendered: str) -> list[Piece]:
        """The rendered text in order, in pieces."""
        pieces: list[Piece] = []
        start = 0
        for index, part in enumerate(re.split(f"{self._fence}(\\d+){self._fence}", rendered)):
            length = len(part) + (2 if index % 2 else 0)
            if part:
                pieces.append(Piece(start, length, self._contents[int(part)] if index % 2 else part))
            start += length
        return pieces

    def _mark_of(self, text: str) -> str:
        if text not in self._marks:
            self._marks[text] = self._new_mark(Literal(text))
        return self._marks[text]

    def _new_mark(self, content: Literal | Spliced) -> str:
        self._contents.append(content)
        return f"{self._fence}{len(self._contents) - 1}{self._fence}"
