"""When a request should wait for another's prefill, so that a common prefix is computed once (C6)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pensieve.core.prefixes.common_prefix import common_prefix

MIN_SHARED_TOKENS = 64
"""A shorter common prefix is computed twice: waiting would take longer."""


@dataclass(frozen=True, slots=True)
class PrefillProgress:
    """How far the prompt of request `uid` is prefilled, and at which `stops` a snapshot of it is taken.

    Without `stops`, its KV can be cut at any token.
    """

    uid: int
    token_ids: Sequence[int]
    num_prefilled: int
    stops: tuple[int, ...] | None = None

    def usable_by(self, token_ids: Sequence[int]) -> int:
        """How many leading tokens of another prompt can be reused once this prefill is complete."""
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
