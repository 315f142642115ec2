"""Text that must stay text, whatever it spells (design: a request's way, 2)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_PRIVATE_USE: Final = range(0xF0000, 0xFFFFE)


class Literals:
    """Keeps what looks like a control token in the messages out of the template's sight and the tokenizer's reach.

    Each is replaced by a mark of private-use characters that occur in no message, and put back, as text, when the
    rendered conversation is encoded. Where there is nothing to hide, the text stays in one piece, exactly as it was.
    """

    def __init__(self, texts: Iterable[str], control_tokens: re.Pattern[str] | None) -> None:
        """`texts` are all that `hide` may be asked about."""
        used: set[str] = set().union(*texts)
        self._fence = next(chr(code) for code in _PRIVATE_USE if chr(code) not in used)
        self._control_tokens = control_tokens
        self._hidden: list[str] = []
        self.end_mark = f"{self._fence}end{self._fence}"
        """Stands for a text of its own, that nothing else can be mistaken for."""

    def hide(self, text: str) -> str:
        return self._control_tokens.sub(self._mark, text) if self._control_tokens else text

    def reveal(self, rendered: str) -> list[tuple[str, bool]]:
        """The rendered text in order, in pieces, and of each whether it was hidden."""
        pieces = re.split(f"{self._fence}(\\d+){self._fence}", rendered)
        return [
            (self._hidden[int(piece)], True) if index % 2 else (piece, False)
            for index, piece in enumerate(pieces)
            if piece
        ]

    def _mark(self, match: re.Match[str]) -> str:
        self._hidden.append(match[0])
        return f"{self._fence}{len(self._hidden) - 1}{self._fence}"
