"""Decides when a draft model or an MTP head drafts, and for which rows of a batch.

It drafts for a row where verifying its likely tokens, including the time to draft them, beats plain decoding. Before
that it has to prefill the row: one chunk a step, charged to the row, whose accepted drafts may win it back. Where
drafting does not pay, it is still tried in a small share of the time, since that can change.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import mlx.core as mx

from pensieve.core.drafts.length import best_width
from pensieve.core.drafts.worth import MIN_CHANCE
from pensieve.engine.decoding.decoding_rows import DecodingRows
from pensieve.engine.speculation.draft_model import MAX_PENDING
from pensieve.engine.speculation.drafter import Drafter, DrafterRow

PassSeconds = Callable[[int], float | None]
"""Seconds of one pass of the larger model, by its width in tokens; None until measured."""

log = logging.getLogger(__name__)

_TOLERATED_DEBT: Final = 4.0
"""In plain passes. Beyond it no further rows are prefilled: the rows before did not win back their prefill."""

VERIFICATIONS_BEFORE_REST: Final = 100
_REST_STEPS: Final = 4
"""Plain steps that refresh the measured cost of plain decoding. Otherwise one busy moment would count forever."""


@dataclass(slots=True)
class _Draft:
    """A draft under verification: `length` tokens, after `num_before` tokens of its row."""

    row: DrafterRow
    num_before: int
    length: int


class DraftPolicy:
    """The drafter's part in a batch. Each step calls `plan` and `choose`, and if it drafts `draft` and `verify`."""

    def __init__(self, drafter: Drafter) -> None:
        self._drafter = drafter
        self.rows: dict[int, DrafterRow] = {}
        """The drafter's row for each row of the batch, by uid."""
        self._limits: list[int] = []
        self._drafts: dict[int, _Draft] = {}
        self._is_try = self._is_off = False
        self._num_verifications = self._num_resting = 0
        self.has_prefilled = False
        """Whether this step prefilled the drafter, which makes it slower."""

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self.rows.values())

    def plan(
        self, batch: DecodingRows, limits: Sequence[int], looked_up: Sequence[Sequence[float]], seconds: PassSeconds
    ) -> None:
        """Start a step: select the rows to draft for, and prefill a row that still needs it.

        `limits` are the tokens that may be drafted for each row; `looked_up` is what prompt lookup promises for it.
        """
        self.has_prefilled = self._is_try = False
        self.rows = {row.uid: self.rows.get(row.uid) or self._drafter.new_row(row) for row in batch.rows}
        self._limits = self._own_limits(batch, limits, looked_up)
        plain_seconds = seconds(1)
        if not any(self._limits) or plain_seconds is None:
            return
        pending = self._pending(batch)
        rows = zip(self.rows.values(), self._limits, strict=True)
        promised = [row.acceptance.expected(limit) for row, limit in rows]
        if self._best_width(promised, looked_up, seconds) > 1:
            wanted = [index for index in pending if len(promised[index]) > 1]
            if wanted and self._drafter.budget.seconds <= _TOLERATED_DEBT * plain_seconds:
                self._prefill(batch, wanted[0])
        elif not self._drafter.budget.seconds:
            self._is_try = len(pending) < sum(limit > 0 for limit in self._limits)
            if not self._is_try:
                self._prefill(batch, min(pending, key=lambda index: pending[index]), is_try=True)
        self._limits = [0 if index in pending else limit for index, limit in enumerate(self._limits)]

    def _own_limits(
        self, batch: DecodingRows, limits: Sequence[int], looked_up: Sequence[Sequence[float]]
    ) -> list[int]:
        """The tokens this model may draft for each row: none where prompt lookup has a draft, nor while resting."""
        rests, self._num_resting = self._num_resting > 0, max(0, self._num_resting - 1)
        return [
            0
            if self._is_off or rests or len(promised) > 1
            else max(0, min(limit, self._drafter.window_tokens - len(row.token_ids) - 2))
            for limit, promised, row in zip(limits, looked_up, batch.rows, strict=True)
        ]

    def _pending(self, batch: DecodingRows) -> dict[int, int]:
        """The rows that need a prefill before they can be drafted for: their index, and the tokens pending."""
        rows = enumerate(zip(self.rows.values(), batch.rows, strict=True))
        pending = {index: len(own.token_ids) - row.num_prefilled for index, (row, own) in rows if self._limits[index]}
        return {index: num_tokens for index, num_tokens in pending.items() if num_tokens > MAX_PENDING}

    def choose(self, looked_up: Sequence[list[float]], seconds: PassSeconds) -> tuple[int, list[list[float]]]:
        """The best pass width (see `best_width`), and the tokens that each row can expect from the pass."""
        promised = [
            [1.0] if len(found) > 1 or not limit else self._promised(row, limit)
            for row, limit, found in zip(self.rows.values(), self._limits, looked_up, strict=True)
        ]
        merged = [found if len(found) > 1 else own for found, own in zip(looked_up, promised, strict=True)]
        width = self._best_width(promised, looked_up, seconds)
        return (2 if width == 1 and self._is_try and any(len(own) > 1 for own in promised) else width), merged

    def _promised(self, row: DrafterRow, limit: int) -> list[float]:
        return [1.0, 1.0 + row.acceptance.chance] if self._is_try else row.acceptance.expected(limit)

    def _best_width(
        self, promised: Sequence[list[float]], looked_up: Sequence[Sequence[float]], seconds: PassSeconds
    ) -> int:
        lengths = [len(each) - 1 for each in promised if len(each) > 1]
        merged = [found if len(found) > 1 else own for found, own in zip(looked_up, promised, strict=True)]

        def with_drafts(width: int) -> float | None:
            pass_seconds = seconds(width)
            if pass_seconds is None or width == 1 or not lengths:
                return pass_seconds
            return pass_seconds + self._draft_seconds(len(lengths), seconds) * min(width - 1, max(lengths))

        return best_width(merged, with_drafts)

    def _draft_seconds(self, num_rows: int, seconds: PassSeconds) -> float:
        return self._drafter.seconds(num_rows, seconds(1) or 0.0)

    @property
    def is_wanted(self) -> bool:
        """Whether to wait for the next token, so that a draft can follow it."""
        rows = zip(self.rows.values(), self._limits, strict=True)
        return self._is_try or any(limit and row.acceptance.chance >= MIN_CHANCE for row, limit in rows)

    def draft(self, batch: DecodingRows, drafts: list[list[int]], lengths: Sequence[int]) -> None:
        """Fill the empty entries of `drafts`, with up to `lengths[i]` tokens for row i. Waits for the next tokens."""
        rows = list(self.rows.values())
        next_tokens = batch.next_ids()
        chosen = [
            index for index, limit in enumerate(self._limits) if limit and lengths[index] > 0 and not drafts[index]
        ]
        if not chosen:
            return
        pending = [[*batch.rows[index].token_ids[rows[index].num_prefilled :], next_tokens[index]] for index in chosen]
        try:
            drafted = self._drafter.draft(
                [rows[index] for index in chosen], pending, [lengths[index] for index in chosen]
            )
        except Exception:
            self._switch_off()
            return
        for index, draft in zip(chosen, drafted, strict=True):
            drafts[index] = draft
            self._drafts[index] = _Draft(rows[index], len(batch.rows[index].token_ids) + 1, len(draft))

    def verify(self, accepted: Sequence[int], width: int, seconds: PassSeconds) -> None:
        """A pass of `width` accepted `accepted[i]` tokens of row i: cut off the rest, and account for the time."""
        verified, self._drafts = self._drafts, {}
        if not verified:
            return
        self._num_verifications += 1
        if self._num_verifications % VERIFICATIONS_BEFORE_REST == 0:
            self._num_resting = _REST_STEPS
        for index, each in verified.items():
            each.row.cut(each.num_before + accepted[index])
            each.row.acceptance.note(accepted[index], each.length)
            self._drafter.acceptance.note(accepted[index], each.length)
        plain = seconds(1) or 0.0
        num_accepted = sum(accepted[index] for index in verified)
        longest = max(each.length for each in verified.values())
        lost = (seconds(width) or plain) - plain - num_accepted * plain / len(accepted)
        lost += longest * self._draft_seconds(len(verified), seconds)
        if self._is_try:
            self._drafter.budget.note_trial(lost, plain, hit=num_accepted > 0)
            return
        for each in verified.values():
            each.row.lost_seconds += lost / len(verified)

    def note_plain(self, seconds: float | None) -> None:
        """A plain step took `seconds`, a share of which may be spent on tries."""
        self.has_prefilled = False
        self._drafter.budget.note_plain(seconds or 0.0)

    def drop(self, uids: Iterable[int]) -> None:
        """Free the rows that have left, and charge the time they lost to the budget."""
        for uid in uids:
            row = self.rows.pop(uid, None)
            if row is not None:
                self._drafter.budget.charge(row.lost_seconds)

    def _prefill(self, batch: DecodingRows, index: int, *, is_try: bool = False) -> None:
        row = self.rows[batch.rows[index].uid]
        mx.eval(batch.next_tokens)  # so that the larger model's pass is not timed as part of the prefill
        try:
            seconds = self._drafter.prefill(row, batch.rows[index].token_ids)
        except Exception:
            self._switch_off()
            return
        self.has_prefilled = True
        if is_try:
            self._drafter.budget.charge(seconds)
        else:
            row.lost_seconds += seconds

    def _switch_off(self) -> None:
        """Answers do not depend on drafts, so a failing drafter must not end them."""
        log.exception("drafting failed; running requests continue without it")
        self._is_off, self._drafts = True, {}
        self._limits = [0] * len(self._limits)
        for row in self.rows.values():
            row.clear()
