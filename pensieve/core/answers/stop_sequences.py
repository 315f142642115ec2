"""Stop sequences in text that arrives in pieces (W13): held back until they can no longer match."""

from __future__ import annotations

from collections.abc import Sequence


class StopSequenceFilter:
    """Lets text through up to the first stop sequence, whatever the pieces it comes in.

    What could still become a stop sequence is held back. The sequence that is complete first wins; of two that are
    complete at the same character, the longer one.

        feed("Hello w") -> "Hello "   with the stop sequence "world"
        feed("orld!")   -> ""         matched == "world"
    """

    def __init__(self, stop_sequences: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stop_sequences if stop)
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """The text that is safe to show; empty once a sequence has matched."""
        if self.matched is not None:
            return ""
        safe, self.matched, _ = self.split(text)
        return safe

    def split(self, text: str) -> tuple[str, str | None, str]:
        """The text before the first sequence, that sequence, and what follows; without one, what is safe by now."""
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
        """The text ends here, so what is held back was no stop sequence after all."""
        held, self._held = self._held, ""
        return held

    def _longest_possible_start(self, text: str) -> int:
        """The length of the longest end of `text` with which a stop sequence begins."""
        longest = max(len(stop) for stop in self._stops) - 1
        for length in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-length:]) for stop in self._stops):
                return length
        return 0
