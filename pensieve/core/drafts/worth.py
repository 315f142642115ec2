"""Decides whether a draft model pays, from its acceptance rate and the time spent on it.

Prompt lookup is free, and plain decoding reveals its acceptance rate. A draft model costs time, and its acceptance rate
is unknown unless it runs. So where it does not pay, it is retried within a budget of one percent of the decoding time.
"""

from __future__ import annotations

from typing import Final

_DECAY: Final = 0.95
"""The weight that earlier counts keep after each new one: about the last twenty matter."""
_PRIOR: Final = 0.6
_PRIOR_WEIGHT: Final = 3.0

MIN_CHANCE: Final = 0.3
"""Below this acceptance rate, drafting cost more than it gained on every device that was measured."""
_MIN_LAST_CHANCE: Final = 0.1
"""A draft ends before its next token has a lower chance than this."""

_TRIAL_SHARE: Final = 0.01
"""The share of plain decoding time that may be spent on trials."""
_MIN_LOSS: Final = 0.25
"""The minimum cost of a failed trial in plain passes, since no timed pass includes waiting for the draft."""


class AcceptanceRate:
    """How often the model accepts the draft model's next token, in one request or in all."""

    def __init__(self, chance: float = _PRIOR) -> None:
        self._hits, self._tries = chance * _PRIOR_WEIGHT, _PRIOR_WEIGHT

    def note(self, num_accepted: int, num_drafted: int) -> None:
        """Record a verified draft. Tokens after the first rejected one say nothing and are not counted."""
        for hit in [True] * num_accepted + [False] * (num_accepted < num_drafted):
            self._hits = self._hits * _DECAY + hit
            self._tries = self._tries * _DECAY + 1.0

    @property
    def chance(self) -> float:
        return self._hits / self._tries

    def expected(self, max_tokens: int) -> list[float]:
        """The expected tokens of a verifying pass: at [n] with n drafted, up to `max_tokens` or a likely length."""
        sums, chance = [1.0], self.chance
        while len(sums) <= max_tokens and self.chance >= MIN_CHANCE and chance >= _MIN_LAST_CHANCE:
            sums.append(sums[-1] + chance)
            chance *= self.chance
        return sums


class DraftBudget:
    """The seconds that drafting still owes: what it lost, minus the trial share of plain decoding."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def note_plain(self, seconds: float) -> None:
        self.charge(-_TRIAL_SHARE * seconds)

    def note_trial(self, lost_seconds: float, plain_seconds: float, *, hit: bool) -> None:
        self.charge(lost_seconds if hit else max(lost_seconds, _MIN_LOSS * plain_seconds))

    def charge(self, seconds: float) -> None:
        """Debt never goes below zero; past gains do not fund future losses."""
        self.seconds = max(0.0, self.seconds + seconds)
