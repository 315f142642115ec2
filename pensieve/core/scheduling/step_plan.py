"""Plans a step of the batch: which rows decode, which prompts join them, and how much of which prompt is prefilled.

A plan is a value: it can be compared, printed and sent to another process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, NamedTuple

from pensieve.core.scheduling.prefill_budget import MAX_DECODE_STEPS, PrefillBudget

MIN_SHARE: Final = 8
"""The fewest tokens a prompt gets in a step."""
_SHARE_TOKENS: Final = 64
"""The usual share of a prompt in a step that prefills several."""
_MIN_CONCURRENT: Final = 2
"""Prompts prefilled in the same step, if that many are waiting: a short one must not wait for a long one to end."""
_WHOLE_CHUNKS: Final = 4
"""Prompts that one step prefills completely may exceed a chunk by this factor, all of them together."""


class PendingPrompt(NamedTuple):
    """A prompt of the batch before it decodes, with `num_remaining` tokens to prefill.

    Prefill pauses after the next `next_stop` tokens. `has_begun`: it took part in an earlier step.
    """

    uid: int
    num_prefilled: int
    num_remaining: int
    next_stop: int
    has_begun: bool


@dataclass(frozen=True, slots=True)
class StepPlan:
    """In this order: the rows `joins` join the decoding ones, all of `decodes` get a token, and `prefills` are run.

    `prefills` holds pairs of a row and its number of tokens, all for one pass.
    """

    joins: tuple[int, ...] = ()
    decodes: tuple[int, ...] = ()
    prefills: tuple[tuple[int, int], ...] = ()

    @property
    def num_prefill_tokens(self) -> int:
        return sum(num_tokens for _, num_tokens in self.prefills)

    @property
    def only_decodes(self) -> bool:
        return not (self.joins or self.prefills)


@dataclass(frozen=True, slots=True)
class PrefillLimits:
    """What a model and its device allow in one step.

    `fitting(num_prefilled, num_tokens)` is as much of `num_tokens` as memory is reserved for after that many tokens.
    """

    fitting: Callable[[int, int], int]
    max_prompts: int | None = None
    """Some models compute padded prompts wrongly, so that one prompt is prefilled at a time."""
    may_exceed_chunk: bool = True
    """On a CPU a token costs more in a longer prompt, so a single prompt never exceeds a chunk."""
    max_decode_steps: int = MAX_DECODE_STEPS


class StepPlanner:
    """Bounds a step's prefill by what memory is reserved for and by how long decoding rows may wait."""

    def __init__(self, limits: PrefillLimits) -> None:
        self.budget = PrefillBudget(limits.max_decode_steps)
        self._limits = limits

    def plan(self, prompts: Sequence[PendingPrompt], decodes: Sequence[int], chunk_tokens: int) -> StepPlan:
        """`prompts` are in order of arrival, and those that have begun come first: they always take part.

        All prompts that can be completed in this step are. Otherwise a few share it: with a few tokens of each of many
        prompts, every layer would start over for each of them.
        """
        joins = tuple(prompt.uid for prompt in prompts if not prompt.num_remaining)
        pending = [prompt for prompt in prompts if prompt.num_remaining][: self._limits.max_prompts]
        num_prompts, num_tokens = self._shares(pending, len(decodes), chunk_tokens)
        share = max(MIN_SHARE, num_tokens // max(1, num_prompts))
        prefills = tuple((each.uid, min(share, each.next_stop)) for each in pending[:num_prompts])
        return StepPlan(joins, (*decodes, *joins), prefills)

    def _shares(self, pending: Sequence[PendingPrompt], num_decoding: int, chunk_tokens: int) -> tuple[int, int]:
        """How many of the prompts take part, and the tokens of all of them together."""
        max_tokens = self.budget.max_tokens(num_decoding, chunk_tokens, len(pending))
        num_begun = sum(each.has_begun for each in pending)
        num_prompts = max(num_begun, min(max(_MIN_CONCURRENT, max_tokens // _SHARE_TOKENS), len(pending)))
        num_tokens = min(max_tokens, self._fitting(pending[:num_prompts], chunk_tokens))
        num_whole = self._num_whole(pending, num_decoding, chunk_tokens)
        if num_whole > num_prompts or num_whole == len(pending):
            longest = max((each.num_remaining for each in pending[:num_whole]), default=0)
            return num_whole, num_whole * longest
        return num_prompts, num_tokens

    def _num_whole(self, pending: Sequence[PendingPrompt], num_decoding: int, chunk_tokens: int) -> int:
        """The number of prompts that the next step can complete.

        Together they may exceed a chunk, since they need no further step.
        """
        max_tokens = self._fitting(pending, _WHOLE_CHUNKS * chunk_tokens)
        max_tokens = self.budget.max_tokens(num_decoding, max_tokens, len(pending))
        max_length = max_tokens if self._limits.may_exceed_chunk else chunk_tokens
        longest = accumulate((each.num_remaining for each in pending), max)
        return sum(length <= max_length and number * length <= max_tokens for number, length in enumerate(longest, 1))

    def _fitting(self, pending: Sequence[PendingPrompt], num_tokens: int) -> int:
        return self._limits.fitting(max((each.num_prefilled for each in pending), default=0), num_tokens)
