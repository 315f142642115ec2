"""Drafts with a model's own multi-token-prediction (MTP) head.

The head computes from the model's last hidden state for a token, and from the token after it, what follows that one.
For further tokens it continues from its own output. Its layer has keys and values of its own for each row. They are
kept in step with the row's tokens: what the head computed from its own output is removed, and computed again from the
model's hidden states. Where a prompt was cached, the head lacks that part, and drafts from what follows it.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import mlx.core as mx

from pensieve.core.drafts.length import PassCosts
from pensieve.core.drafts.worth import AcceptanceRate, DraftBudget
from pensieve.engine.speculation.drafter import by_row
from pensieve.engine.speculation.hidden_tap import HiddenTap
from pensieve.engine.speculation.mtp_passes import HeadPasses
from pensieve.engine.speculation.mtp_row import MtpRow
from pensieve.models.mtp.load import text_model

if TYPE_CHECKING:
    from pensieve.engine.decoding.row import Row
    from pensieve.engine.kv.sizes import KVSizes
    from pensieve.models.loading.load import LoadedModel

log = logging.getLogger(__name__)


def drafter_of(model: LoadedModel, name: str) -> MtpDrafter | None:
    """A drafter with the model's head; None if the head does not run, since answers do not depend on it."""
    try:
        return MtpDrafter(model)
    except Exception as error:  # of any type, from mlx-lm's layers
        log.warning("%s is served without its multi-token-prediction head, which does not run: %s", name, error)
        return None


class MtpDrafter:
    """The head of one model. Outlives batches."""

    def __init__(self, model: LoadedModel) -> None:
        """
        Raises:
            Exception: of any type, if the head does not run.
        """
        text = text_model(model.model)
        self.window_tokens = model.context_window_tokens
        self.acceptance, self.budget = AcceptanceRate(), DraftBudget()
        self._passes = HeadPasses(text, model.mtp)
        self._share = self._passes.weights_bytes / max(1, model.weights_bytes)
        self._costs: dict[int, PassCosts] = {}
        self._tap = HiddenTap.of(text)

    @property
    def observer(self) -> MtpDrafter:
        return self

    @property
    def sizes(self) -> KVSizes:
        """The bytes that it holds for a request."""
        return self._passes.sizes

    def new_row(self, row: Row) -> MtpRow:
        known: MtpRow | None = row.mtp
        row.mtp = known or MtpRow(self._passes.new_cache(), len(row.token_ids), self.acceptance.chance)
        return cast("MtpRow", row.mtp)

    def seconds(self, num_rows: int, plain_seconds: float) -> float:
        measured = self._costs[num_rows].seconds(1) if num_rows in self._costs else None
        return measured if measured is not None else self._share * plain_seconds

    def observe(self, rows: Sequence[Row], num_tokens: Sequence[int]) -> None:
        hidden = self._tap.take()
        if hidden is None:
            return
        for index, (row, num) in enumerate(zip(rows, num_tokens, strict=True)):
            if not row.processors:
                self.new_row(row).record(hidden[index, :num])

    def finish_chunks(self, rows: Sequence[Row]) -> None:
        drafting = [row for row in rows if row.mtp is not None]
        try:
            self._hold([row.mtp for row in drafting], [row.token_ids for row in drafting])
        except Exception:
            log.exception("the MTP head failed; these requests continue without what it knew of their prompts")
            for row in drafting:
                row.mtp.clear()

    def prefill(self, row: MtpRow, token_ids: Sequence[int]) -> float:
        began = time.perf_counter()
        self._hold([row], [token_ids])
        return time.perf_counter() - began

    def draft(
        self, rows: Sequence[MtpRow], pending: Sequence[Sequence[int]], lengths: Sequence[int]
    ) -> list[list[int]]:
        began = time.perf_counter()
        order = sorted(range(len(rows)), key=lambda index: -lengths[index])  # shorter drafts last
        ordered = [rows[index] for index in order]
        hidden = self._passes.after(ordered, [pending[index][1:] for index in order])
        columns = [self._passes.likeliest(hidden)]
        for place in range(1, lengths[order[0]]):
            num_rows = sum(length > place for length in lengths)
            hidden = self._passes.run(columns[-1][:num_rows, None], hidden[:num_rows], ordered[:num_rows])
            columns.append(self._passes.likeliest(hidden))
            mx.async_eval(columns[-1])  # type: ignore[no-untyped-call]
        drafted: list[list[int]] = [column.tolist() for column in columns]  # type: ignore[misc]
        self._costs.setdefault(len(rows), PassCosts()).note(1, (time.perf_counter() - began) / len(columns))
        return by_row(drafted, order, lengths)

    def _hold(self, rows: Sequence[MtpRow], token_ids: Sequence[Sequence[int]]) -> None:
        """Compute what is pending of the rows, except the last hidden state, which a draft begins with."""
        following = [
            list(ids[row.num_prefilled + 1 :][: row.num_pending]) for row, ids in zip(rows, token_ids, strict=True)
        ]
        chosen = [(row, tokens) for row, tokens in zip(rows, following, strict=True) if tokens]
        if chosen:
            self._passes.after([row for row, _ in chosen], [tokens for _, tokens in chosen])
            mx.eval([(row.cache.state, row.pending) for row, _ in chosen])
