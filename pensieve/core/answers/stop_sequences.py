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
        text = self._held + text
        ends = [(start + len(stop), -len(stop)) for stop in self._stops if (start := text.find(stop)) >= 0]
        if ends:
            end, negative_length = min(ends)
            self._held = ""
            return text[: end + negative_length], text[end + negative_length : end], text[end:]
        held = self._longest_possible_start(text)
        self._held = text[len(text) - held :]
        return text[: len(text) - held], None, ""

    def finish(self) -> str:
        """The text that was withheld, because no more will follow."""
        held, self._held = self._held, ""
        return held

    def _longest_possible_start(self, text: str) -> int:
        """The length of the longest suffix of `text` that is a prefix of a stop sequence."""
        longest = max(len(stop) for stop in self._stops) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
