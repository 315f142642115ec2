"""When a draft model is asked, and for which requests of a batch.

It is asked where it is likely enough to be right that a check of its tokens, with the time that it takes itself, brings
more than plain decoding does. To be asked it has to have read the request: that happens a chunk a step, and is charged
to the request, which may bring it in again. Where it does not pay, it is tried in a small share of the time.

All on the thread that owns MLX.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import mlx.core as mx

from pensieve.core.drafts.length import best_width
from pensieve.core.drafts.worth import MIN_CHANCE
from pensieve.engine.kv.rows import RowKV
from pensieve.engine.speculation.draft_model import MAX_UNREAD, DraftModel, DraftRow

Seconds = Callable[[int], float | None]
"""Of one pass of the larger model, by its width."""

log = logging.getLogger(__name__)

_TOLERATED_DEBT: Final = 4.0
"""In plain passes. With more, nothing is read of new requests: what was read of others did not bring it in."""

_CHECKS_BEFORE_REST: Final = 100
_REST_STEPS: Final = 4
"""Plain ones, so that it is seen what plain decoding takes by now: else a machine that was busy once would be believed
for ever.
"""


@dataclass(slots=True)
class _Checked:
    """A draft that is being checked: of which row, and how many tokens the row has before it."""

    row: DraftRow
    num_before: int
    length: int


class DraftPolicy:
    """The draft model's side of one batch. In each step: `look`, `width`, and `fill` and `settle` where it drafts."""

    def __init__(self, draft: DraftModel) -> None:
        self._draft = draft
        self._rows: dict[int, DraftRow] = {}
        self._limits: list[int] = []
        self._checked: dict[int, _Checked] = {}
        self._is_try = self._is_off = False
        self._num_checks = self._num_resting = 0
        self.has_read = False
        """Whether the step read something for drafts, and took longer for that."""

    @property
    def nbytes(self) -> int:
        return sum(row.nbytes for row in self._rows.values())

    def look(self, batch: Any, limits: Sequence[int], looked_up: Sequence[Sequence[float]], seconds: Seconds) -> None:
        """A step begins. `limits` are the tokens that may be drafted of each row, `looked_up` what lookups promise, and
        `seconds` what the larger model's passes take; what has to be read of a row first, is read.
        """
        self.has_read = self._is_try = False
        self._rows = {
            uid: self._rows.get(uid) or self._draft.new_row(len(known))
            for uid, known in zip(batch.uids, batch.tokens, strict=True)
        }
        rests, self._num_resting = self._num_resting > 0, max(0, self._num_resting - 1)
        self._limits = [
            0
            if self._is_off or rests or len(found) > 1
            else max(0, min(limit, self._draft.window_tokens - len(known) - 2))
            for limit, found, known in zip(limits, looked_up, batch.tokens, strict=True)
        ]
        plain_seconds = seconds(1)
        if not any(self._limits) or plain_seconds is None:
            return
        behind = {
            index: len(known) - row.num_read
            for index, (row, known) in enumerate(zip(self._rows.values(), batch.tokens, strict=True))
            if self._limits[index] and len(known) - row.num_read > MAX_UNREAD
        }
        hoped = [row.agreement.expected(limit) for row, limit in zip(self._rows.values(), self._limits, strict=True)]
        if self._best(hoped, looked_up, seconds) > 1:
            wanted = [index for index in behind if len(hoped[index]) > 1]
            if wanted and self._draft.debt.seconds <= _TOLERATED_DEBT * plain_seconds:
                self._read(batch, wanted[0])
        elif not self._draft.debt.seconds:
            self._is_try = len(behind) < sum(limit > 0 for limit in self._limits)
            if not self._is_try:
                self._read(batch, min(behind, key=lambda index: behind[index]), is_try=True)
        self._limits = [0 if index in behind else limit for index, limit in enumerate(self._limits)]

    def width(self, looked_up: Sequence[list[float]], seconds: Seconds) -> tuple[int, list[list[float]]]:
        """The width of the pass that brings most, as `best_width` has it, and what each row can expect of it."""
        promised = [
            [1.0] if len(found) > 1 or not limit else self._promised(row, limit)
            for row, limit, found in zip(self._rows.values(), self._limits, looked_up, strict=True)
        ]
        merged = [found if len(found) > 1 else own for found, own in zip(looked_up, promised, strict=True)]
        width = self._best(promised, looked_up, seconds)
        return (2 if width == 1 and self._is_try and any(len(own) > 1 for own in promised) else width), merged

    def _promised(self, row: DraftRow, limit: int) -> list[float]:
        return [1.0, 1.0 + row.agreement.chance] if self._is_try else row.agreement.expected(limit)

    def _best(self, own: Sequence[list[float]], looked_up: Sequence[Sequence[float]], seconds: Seconds) -> int:
        lengths = [len(each) - 1 for each in own if len(each) > 1]
        merged = [found if len(found) > 1 else each for found, each in zip(looked_up, own, strict=True)]

        def with_drafts(width: int) -> float | None:
            passed = seconds(width)
            if passed is None or width == 1 or not lengths:
                return passed
            return passed + self._seconds(len(lengths), seconds) * min(width - 1, max(lengths))

        return best_width(merged, with_drafts)

    def _seconds(self, num_rows: int, seconds: Seconds) -> float:
        return self._draft.seconds(num_rows, seconds(1) or 0.0)

    @property
    def is_wanted(self) -> bool:
        """Whether the next token is worth waiting for, so that a draft can follow it."""
        rows = zip(self._rows.values(), self._limits, strict=True)
        return self._is_try or any(limit and row.agreement.chance >= MIN_CHANCE for row, limit in rows)

    def fill(self, batch: Any, drafts: list[list[int]], lengths: Sequence[int]) -> None:
        """Draft so many tokens for the rows whose draft is empty. The next tokens have to be known."""
        rows = list(self._rows.values())
        nexts: list[int] = batch._next_tokens.tolist()
        chosen = [
            index for index, limit in enumerate(self._limits) if limit and lengths[index] > 0 and not drafts[index]
        ]
        if not chosen:
            return
        unread = [[*batch.tokens[index][rows[index].num_read :], nexts[index]] for index in chosen]
        try:
            said = self._draft.draft([rows[index] for index in chosen], unread, [lengths[index] for index in chosen])
        except Exception:
            self._switch_off()
            return
        for index, draft in zip(chosen, said, strict=True):
            drafts[index] = draft
            self._checked[index] = _Checked(rows[index], len(batch.tokens[index]) + 1, len(draft))

    def settle(self, accepted: Sequence[int], width: int, seconds: Seconds) -> None:
        """A pass of that width has checked the drafts: of each row, so many tokens came true. The rest is cut off."""
        checked, self._checked = self._checked, {}
        if not checked:
            return
        self._num_checks += 1
        if self._num_checks % _CHECKS_BEFORE_REST == 0:
            self._num_resting = _REST_STEPS
        for index, each in checked.items():
            each.row.cut(each.num_before + accepted[index])
            each.row.agreement.note(accepted[index], each.length)
            self._draft.agreement.note(accepted[index], each.length)
        plain = seconds(1) or 0.0
        num_accepted = sum(accepted[index] for index in checked)
        longest = max(each.length for each in checked.values())
        lost = (seconds(width) or plain) - plain - num_accepted * plain / len(accepted)
        lost += longest * self._seconds(len(checked), seconds)
        if self._is_try:
            self._draft.debt.note_trial(lost, plain, hit=num_accepted > 0)
            return
        for each in checked.values():
            each.row.lost_seconds += lost / len(checked)

    def note_plain(self, seconds: float | None) -> None:
        """A plain step took so long."""
        self.has_read = False
        self._draft.debt.note_plain(seconds or 0.0)

    def drop(self, uids: Iterable[int]) -> None:
        """These have left: their memory is given back, and what they have cost is told from what is to be read next."""
        for uid in uids:
            row = self._rows.pop(uid, None)
            if row is not None:
                self._draft.debt.charge(row.lost_seconds)

    def _read(self, batch: Any, index: int, *, is_try: bool = False) -> None:
        row = self._rows[batch.uids[index]]
        mx.eval(batch._next_tokens)  # what is being computed is not of the time that the reading takes
        try:
            taken = self._draft.read(row, batch.tokens[index])
        except Exception:
            self._switch_off()
            return
        self.has_read = True
        if is_try:
            self._draft.debt.charge(taken)
        else:
            row.lost_seconds += taken

    def _switch_off(self) -> None:
        """Answers do not need drafts: a fault in what makes them must end none."""
        log.exception("the draft model failed; what runs now is decoded without it")
        self._is_off, self._checked = True, {}
        self._limits = [0] * len(self._limits)
        for row in self._rows.values():
            row.caches = [RowKV() for _ in row.caches]
