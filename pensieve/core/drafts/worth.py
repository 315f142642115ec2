"""Whether a draft model's tokens are worth what they cost, from how often they came true and what was lost on them.

What a lookup guesses is free, and plain decoding tells how often it would have come true. A draft model's tokens cost
time, and nobody knows what it would have said without asking it. So where it does not pay it is asked now and then, in
a hundredth of the time; what it brings there is time to ask it again.
"""

from __future__ import annotations

from typing import Final

_MEMORY: Final = 0.95
"""How much of what was counted before is left after one more: the last twenty or so tell."""
_PRIOR: Final = 0.6
_PRIOR_WEIGHT: Final = 3.0

MIN_CHANCE: Final = 0.3
"""With less, a token costs more than it brings on every device that was measured."""
_MIN_LAST: Final = 0.1
"""A draft is no longer than its last token has such a chance."""

_SHARE_FOR_TRYING: Final = 0.01
_MIN_LOSS: Final = 0.25
"""Of a plain pass: what a try that brought nothing costs at least, since waiting for it is in no timed pass."""


class AcceptanceRate:
    """How often the draft model's next token was what the model said: in one request, or in all."""

    def __init__(self, chance: float = _PRIOR) -> None:
        self._hits, self._tries = chance * _PRIOR_WEIGHT, _PRIOR_WEIGHT

    def note(self, num_accepted: int, num_drafted: int) -> None:
        """Of what comes after the first token that was not accepted, nothing is known."""
        for hit in [True] * num_accepted + [False] * (num_accepted < num_drafted):
            self._hits = self._hits * _MEMORY + hit
            self._tries = self._tries * _MEMORY + 1.0

    @property
    def chance(self) -> float:
        return self._hits / self._tries

    def expected(self, max_tokens: int) -> list[float]:
        """The tokens that a check brings: at [n] with n tokens drafted, for n up to `max_tokens` or what is likely."""
        sums, chance = [1.0], self.chance
        while len(sums) <= max_tokens and self.chance >= MIN_CHANCE and chance >= _MIN_LAST:
            sums.append(sums[-1] + chance)
            chance *= self.chance
        return sums


class DraftBudget:
    """Seconds that drafting has cost more than it brought, less the share of plain decoding that is for trying."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def note_plain(self, seconds: float) -> None:
        self.charge(-_SHARE_FOR_TRYING * seconds)

    def note_try(self, lost_seconds: float, plain_seconds: float, *, hit: bool) -> None:
        self.charge(lost_seconds if hit else max(lost_seconds, _MIN_LOSS * plain_seconds))

    def charge(self, seconds: float) -> None:
        """Less than nothing is not kept: what it brought once is no reason to lose it again."""
        self.seconds = max(0.0, self.seconds + seconds)
