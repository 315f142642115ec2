"""Plans a step's prefill: how many prompts take part, and how many tokens of each."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

from pensieve.core.scheduling.prefill_budget import PrefillBudget
from pensieve.device.device import device_info

if TYPE_CHECKING:
    from pensieve.engine.memory.probe import Probe

MIN_SHARE: Final = 8
"""The fewest tokens a prompt gets in a step."""
_SHARE_TOKENS: Final = 64
"""The usual share of a prompt in a step that prefills several."""
_MIN_CONCURRENT: Final = 2
"""Prompts prefilled in the same step, if that many are waiting: a short one must not wait for a long one to end."""

_WHOLE_CHUNKS: Final = 4
"""Prompts that one step prefills completely may exceed a chunk by this factor, all of them together."""


class PendingPrompt(NamedTuple):
    num_prefilled: int
    num_remaining: int


class PrefillPlan(NamedTuple):
    """`num_tokens` is the limit for all of the step's prompts together."""

    num_prompts: int
    num_tokens: int


class PrefillPlanner:
    """Bounds a step's prefill by what memory is reserved for and by how long decoding rows may wait."""

    def __init__(self, probe: Probe) -> None:
        self.budget = PrefillBudget()
        self._probe = probe

    def plan(
        self, pending: Sequence[PendingPrompt], *, num_started: int, num_decoding: int, chunk_tokens: int
    ) -> PrefillPlan:
        """`pending` holds the prompts in order of arrival. The first `num_started` have begun and always take part.

        All prompts that can be completed in this step are. Otherwise a few share it: with a few tokens of each of many
        prompts, every layer would start over for each of them.
        """
        max_tokens = self.budget.max_tokens(num_decoding, chunk_tokens, len(pending))
        num_prompts = max(num_started, min(max(_MIN_CONCURRENT, max_tokens // _SHARE_TOKENS), len(pending)))
        num_tokens = min(max_tokens, self._fitting(pending[:num_prompts], chunk_tokens))
        num_whole = self._num_whole(pending, num_decoding, chunk_tokens)
        if num_whole > num_prompts or num_whole == len(pending):
            longest = max((each.num_remaining for each in pending[:num_whole]), default=0)
            return PrefillPlan(num_whole, num_whole * longest)
        return PrefillPlan(num_prompts, num_tokens)

    def _num_whole(self, pending: Sequence[PendingPrompt], num_decoding: int, chunk_tokens: int) -> int:
        """The number of prompts that the next step can complete.

        Together they may exceed a chunk, since they need no further step. On a CPU no single one may: there a token
        costs more in a longer prompt.
        """
        max_tokens = self._fitting(pending, _WHOLE_CHUNKS * chunk_tokens)
        max_tokens = self.budget.max_tokens(num_decoding, max_tokens, len(pending))
        max_length = chunk_tokens if device_info().backend == "cpu" else max_tokens
        longest = accumulate((each.num_remaining for each in pending), max)
        return sum(length <= max_length and number * length <= max_tokens for number, length in enumerate(longest, 1))

    def _fitting(self, pending: Sequence[PendingPrompt], num_tokens: int) -> int:
        """As much of `num_tokens` as memory is reserved for, after what these prompts have prefilled already."""
        return self._probe.max_chunk_at(max((each.num_prefilled for each in pending), default=0), num_tokens)
