"""Which of the waiting requests may start now (C6): two with a common prefix compute it once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pensieve.core.prefixes.common_prefix import common_prefix

MIN_SHARED_TOKENS = 64
"""Less is computed again rather than waited for."""


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    """A prompt that is being read: what has been read of it, and the places at which a state of it is kept.

    Without `stops`, what was computed can be cut anywhere. `uid` is whose it is.
    """

    uid: int
    token_ids: Sequence[int]
    num_prefilled: int
    stops: tuple[int, ...] | None = None

    def usable_by(self, token_ids: Sequence[int]) -> int:
        """How many tokens of another prompt this one will have computed in the end."""
        shared = common_prefix(self.token_ids, token_ids)
        if self.stops is None:
            return shared
        return max((stop for stop in self.stops if stop <= shared), default=0)


def worth_waiting_for(
    token_ids: Sequence[int], cached_tokens: int, prefills: Iterable[PrefillProgress]
) -> PrefillProgress | None:
    """The running prefill that shares the most tokens with this prompt, or None if the cache holds about as many."""
    min_usable = cached_tokens + MIN_SHARED_TOKENS
    best = max(prefills, key=lambda prefill: prefill.usable_by(token_ids), default=None)
    return best if best is not None and best.usable_by(token_ids) >= min_usable else None
