"""Finds stop sequences in text that arrives in pieces (W13), and withholds text that may still become one."""

from __future__ import annotations

from collections.abc import Sequence


class StopSequenceFilter:
    """Passes text on up to the first stop sequence, however the text is divided.

    The sequence that completes first wins; of two that complete at the same character, the longer one.

        feed("Hello w") -> "Hello "   with the stop sequence "world"
        feed("orld!")   -> ""         matched == "world"
    """

    def __init__(self, stop_sequences: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stop_sequences if stop)
        self._beginnings = tuple(_Beginning(stop) for stop in self._stops)
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """The text that may be emitted; empty once a sequence has matched."""
        if self.matched is not None:
            return ""
        safe, self.matched, _ = self.split(text)
        return safe

    def split(self, text: str) -> tuple[str, str | None, str]:
        """The text before the first sequence, the sequence and the rest; without a match, what is safe to emit."""
        if not self._stops:
            return text, None, ""
        new, text = text, self._held + text
        ends = [(start + len(stop), -len(stop)) for stop in self._stops if (start := text.find(stop)) >= 0]
        if ends:
            end, negative_length = min(ends)
            self.finish()
            return text[: end + negative_length], text[end + negative_length : end], text[end:]
        for beginning in self._beginnings:
            beginning.add(new)
        held = max(beginning.length for beginning in self._beginnings)
        self._held = text[len(text) - held :]
        return text[: len(text) - held], None, ""

    def finish(self) -> str:
        """The text that was withheld, because no more will follow."""
        held, self._held = self._held, ""
        for beginning in self._beginnings:
            beginning.length = 0
        return held


class _Beginning:
    """The longest beginning of a stop sequence that the text ends with; not the whole sequence.

    Source: Knuth, Morris and Pratt, "Fast pattern matching in strings" (1977). Each character takes constant time on
    average, whatever the lengths of the sequence and of the text.
    """

    __slots__ = ("_shorter", "_stop", "length")

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self._shorter = [0]
        """For each beginning of the sequence: the length of the longest shorter one that it ends with. As far as they
        were needed.
        """
        self.length = 0

    def add(self, text: str) -> None:
        """Add text that does not complete the sequence."""
        if len(text) >= len(self._stop):
            text, self.length = text[len(text) - len(self._stop) + 1 :], 0
        if not self.length and self._stop[0] not in text:
            return
        for character in text:
            self.length = self._longest_with(character, self.length)
            if self.length > len(self._shorter):
                self._shorter.append(self._longest_with(self._stop[self.length - 1], self._shorter[-1]))

    def _longest_with(self, character: str, length: int) -> int:
        """The length of the longest beginning that ends with the one of that length, or with a shorter, and with the
        character.
        """
        while length and self._stop[length] != character:
            length = self._shorter[length - 1]
        return length + (self._stop[length] == character)
