"""What the MTP head holds for one request.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from typing import Any, Final

import mlx.core as mx

from pensieve.core.drafts.worth import AcceptanceRate

MAX_PENDING: Final = 256
"""Hidden states that are kept for the head to compute. With more, the head starts over from what follows them."""


class MtpRow:
    """`cache` holds what the head computed of the request's tokens after the first `num_skipped`.

    `num_held` of them come from the model's hidden states; those after them are the draft. Pending are the hidden
    states of the tokens that follow.
    """

    def __init__(self, cache: Any, num_skipped: int, chance: float) -> None:
        self.cache = cache
        self.acceptance = AcceptanceRate(chance)
        self.lost_seconds = 0.0
        self.num_held = self.num_pending = 0
        self._num_skipped = num_skipped
        self._pending: list[mx.array] = []

    @property
    def num_prefilled(self) -> int:
        return self._num_skipped + self.num_held

    @property
    def pending(self) -> list[mx.array]:
        return self._pending

    @property
    def nbytes(self) -> int:
        return int(self.cache.nbytes) + sum(each.nbytes for each in self._pending)

    def record(self, hidden: mx.array) -> None:
        """Add hidden states [tokens, size]."""
        if self.num_pending >= MAX_PENDING:
            self.clear()
        self._pending.append(hidden)
        self.num_pending += int(hidden.shape[0])

    def take(self, num_tokens: int) -> mx.array:
        """The first `num_tokens` pending hidden states, which enter the cache."""
        joined = self._pending[0] if len(self._pending) == 1 else mx.concatenate(self._pending)
        left = self.num_pending - num_tokens
        # Gathered, since a slice would keep the hidden states of a whole chunk in memory.
        self._pending = [joined[mx.arange(num_tokens, self.num_pending)]] if left else []
        self.num_pending = left
        self.num_held += num_tokens
        return joined[:num_tokens]

    def cut(self, num_tokens: int) -> None:  # noqa: ARG002 - of accepted tokens too, the model has a better hidden state
        self.cache.offset = self.num_held

    def clear(self) -> None:
        self.cache = type(self.cache)()
        self._num_skipped += self.num_held + self.num_pending
        self._pending, self.num_held, self.num_pending = [], 0, 0
