"""White space at the ends of an answer's parts."""

from __future__ import annotations

from pensieve.core.answers.growing_text import GrowingText


class Spaces:
    """`skips`: white space that begins the next text is left out, as after thinking."""

    def __init__(self, *, skips: bool = False) -> None:
        self.skips = skips
        self._held = GrowingText()

    def hold(self, text: str) -> None:
        """Withhold text that may turn out to stand before a call."""
        self._held.add(text)

    def take(self) -> str:
        """What was withheld, and no longer is."""
        return self._held.take()

    def without_begin(self, text: str) -> str:
        text = text.lstrip() if self.skips else text
        self.skips = self.skips and not text
        return text

    def without_end(self, text: str) -> str:
        """The text, whose white space at the end is withheld."""
        kept = text.rstrip()
        self.hold(text[len(kept) :])
        return kept
