"""Speculative decoding: one forward pass verifies several tokens guessed by prompt lookup or by a draft model.

Every token is sampled from the model's own distribution by the request's own sampler, as in plain decoding, and a
drafted token is accepted if it is the sampled one. So it is accepted with its own probability, and a rejection leaves a
sample from the distribution without it: speculative sampling with a draft that is certain of itself. At temperature 0
the tokens are those of plain decoding.

Rows with logits processors (a grammar, a thinking budget, a repetition penalty) decode plainly, also beside other rows:
processors follow every token, and a grammar was observed to break when tokens were taken back from it.

Plain decoding runs one token ahead: it computes the next token while it returns the last one. Plain steps stay that
way. Only where a draft promises enough does a step wait for the next token and verify it together with the draft.
Rejected tokens are cut off the rows' KV. Recurrent states and windows cannot be cut: they are restored as they were
before the pass, and the accepted tokens are run again.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final, cast

import mlx.core as mx

from pensieve.core.drafts.length import WIDTHS, MatchAcceptance, best_width
from pensieve.core.drafts.prompt_lookup import PromptLookup
from pensieve.core.prefixes.common_prefix import common_prefix
from pensieve.engine.decoding.decoding_rows import DecodingRows
from pensieve.engine.decoding.row import Sampled
from pensieve.engine.speculation.draft_policy import DraftPolicy
from pensieve.engine.speculation.pass_costs import Pace

_MIN_CHANCE_TO_WAIT: Final = 0.3
"""The chance that prompt lookup predicts the next token, below which a step does not wait for that token."""

_MIN_EXTRA_TOKENS: Final = 0.1
"""The expected gain below which a row is not drafted for, even if another row makes the pass worthwhile."""

_TRAINING_TOKENS: Final = 256
"""The last tokens of a prompt, used to count how often they repeat the text before them."""


class SpeculatedRow:
    """One request's prompt lookup, and how often its source was right."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self.lookup = PromptLookup(token_ids[:-_TRAINING_TOKENS])
        self.acceptance = MatchAcceptance()
        self.add(token_ids[-_TRAINING_TOKENS:])
        self.acceptance = self.acceptance.as_prior()

    def add(self, token_ids: Sequence[int]) -> None:
        for token_id in token_ids:
            length = self.lookup.match_length
            hit = self.lookup.add(token_id)
            if hit is not None:
                self.acceptance.note(length, hit=hit)

    def expected(self, max_tokens: int) -> list[float]:
        if not self.lookup.has_source or max_tokens < 1:
            return [1.0]
        expected = self.acceptance.expected(self.lookup.match_length, max_tokens)
        return expected if expected[-1] >= 1.0 + _MIN_EXTRA_TOKENS else [1.0]

    @property
    def chance(self) -> float:
        return self.acceptance.chance(self.lookup.match_length) if self.lookup.has_source else 0.0


class Speculation:
    """Decodes rows, in some steps by several tokens a row.

    `policy` is None without a draft model. Without `may_pad`, only single rows are drafted for: several have drafts of
    several lengths.
    """

    def __init__(
        self, batch: DecodingRows, pace: Pace, policy: DraftPolicy | None = None, *, may_pad: bool = True
    ) -> None:
        self._batch = batch
        self._may_pad = may_pad
        self._pace = pace
        self._policy = policy
        self._rows: dict[int, SpeculatedRow] = {}
        self._plain_uids: list[int] = []
        self._plain_ended = 0.0

    def next(self) -> list[Sampled]:
        """One pass for all rows. A row may get several tokens, in order."""
        batch = self._batch
        if not batch.rows:
            return []
        if sampled := batch.first_tokens():
            self.count_first(len(sampled))
            return sampled
        drafts = self._drafts(batch)
        if any(drafts):
            self._plain_uids = []
            return self._verify(batch, drafts)
        return self._decode_plainly(batch)

    def count_first(self, num_tokens: int) -> None:
        """Count tokens that needed no decode pass."""
        self._pace.count(passes=0, tokens=num_tokens)

    def _decode_plainly(self, batch: DecodingRows) -> list[Sampled]:
        uids = [row.uid for row in batch.rows]
        has_prefilled = self._policy is not None and self._policy.has_prefilled
        is_timed = uids == self._plain_uids and not has_prefilled and not batch.all_end
        sampled = batch.decode()
        ended = time.perf_counter()
        if is_timed:  # the previous step was plain too, so exactly one pass lies between their ends
            self._pace.costs(len(uids)).note(1, ended - self._plain_ended)
        if self._policy is not None:
            self._policy.note_plain(self._pace.costs(len(uids)).seconds(1))
        self.count_plain(uids, sampled)
        self._plain_uids, self._plain_ended = uids, ended
        return sampled

    def count_plain(self, uids: Sequence[int], sampled: Sequence[Sampled]) -> None:
        """A pass decoded a token of each of these rows. Some have left the batch since."""
        self._plain_uids = []
        self.drop(set(uids).difference(row.uid for row in self._batch.rows))
        self._pace.count(passes=len(uids), tokens=len(sampled))

    def _drafts(self, batch: DecodingRows) -> list[list[int]]:
        """The tokens to verify after each row's next token; [] if plain decoding is as fast."""
        rows = self._updated_rows(batch)
        limits = [min(WIDTHS[-1] - 1, row.max_drafted) for row in batch.rows]
        if not any(limits) or (len(rows) > 1 and not self._may_pad):
            return []
        if self._policy is not None:
            looked_up = [row.expected(limit) for row, limit in zip(rows, limits, strict=True)]
            self._policy.plan(batch, limits, looked_up, self._pace.costs(len(rows)).seconds)
        if self._choose(rows, limits)[0] == 1:
            return []
        if any(_lacks_next(row, own.token_ids) for row, own in zip(rows, batch.rows, strict=True)):
            chance = max(row.chance for row, limit in zip(rows, limits, strict=True) if limit)
            if chance < _MIN_CHANCE_TO_WAIT and not (self._policy is not None and self._policy.is_wanted):
                return []
            _add_next_tokens(rows, batch)
        width, expected = self._choose(rows, limits)
        lengths = [min(width, len(each)) - 1 for each in expected]
        drafts = [
            row.lookup.draft(length) if len(row.expected(limit)) > 1 else []
            for row, limit, length in zip(rows, limits, lengths, strict=True)
        ]
        if self._policy is not None:
            self._policy.draft(batch, drafts, lengths)
        return drafts

    def _updated_rows(self, batch: DecodingRows) -> list[SpeculatedRow]:
        """The rows in the batch's order, up to date with the tokens that their KV holds."""
        self._rows = {row.uid: self._rows.get(row.uid) or SpeculatedRow(row.token_ids) for row in batch.rows}
        self._update_lookups(batch)
        return list(self._rows.values())

    def _update_lookups(self, batch: DecodingRows) -> None:
        for row, own in zip(self._rows.values(), batch.rows, strict=True):
            row.add(own.token_ids[row.lookup.num_tokens :])

    def _choose(self, rows: list[SpeculatedRow], limits: list[int]) -> tuple[int, list[list[float]]]:
        """The width of the pass that yields most tokens a second, and the tokens each row can expect from it."""
        expected = [row.expected(limit) for row, limit in zip(rows, limits, strict=True)]
        seconds = self._pace.costs(len(rows)).seconds
        if self._policy is not None:
            return self._policy.choose(expected, seconds)
        return best_width(expected, seconds), expected

    def drop(self, uids: Collection[int]) -> None:
        """Forget rows that have left the batch."""
        for uid in uids:
            self._rows.pop(uid, None)
        if self._policy is not None:
            self._policy.drop(uids)

    @property
    def kv_bytes(self) -> int:
        """Bytes of the draft model's keys and values."""
        return self._policy.nbytes if self._policy is not None else 0

    def _verify(self, batch: DecodingRows, drafts: list[list[int]]) -> list[Sampled]:
        began = time.perf_counter()
        inputs = [[last, *draft] for last, draft in zip(batch.next_ids(), drafts, strict=True)]
        checkpoint = [] if batch.caches.can_be_cut else batch.caches.checkpoint()
        verified = _verified(batch, inputs)
        accepted = [common_prefix(draft, row) for draft, row in zip(drafts, verified, strict=True)]
        batch.next_tokens = mx.array([row[num] for row, num in zip(verified, accepted, strict=True)], mx.uint32)
        kept = [each[: 1 + num] for each, num in zip(inputs, accepted, strict=True)]
        kept = [each[: batch.until_end(each)] for each in kept]
        batch.observe([len(each) for each in kept])
        _rewind(batch, checkpoint, inputs, kept)
        num_rows, width = len(inputs), max(map(len, inputs))
        self._pace.costs(num_rows).note(width, time.perf_counter() - began)
        if self._policy is not None:
            self._policy.verify(accepted, width, self._pace.costs(num_rows).seconds)
        sampled = [
            each
            for index, ids in enumerate(kept)
            for token_id in ids
            if (each := batch.emit(index, token_id)) is not None
        ]
        self._update_lookups(batch)
        _add_next_tokens(list(self._rows.values()), batch)
        batch.drop_finished(sampled)
        self.drop([each.uid for each in sampled if each.computed is not None])
        self._pace.count(passes=num_rows, tokens=len(sampled), proposed=sum(map(len, drafts)), accepted=sum(accepted))
        return sampled


def _lacks_next(row: SpeculatedRow, token_ids: Sequence[int]) -> bool:
    """Whether the row's next token is sampled, but not known to its prompt lookup yet."""
    return row.lookup.num_tokens == len(token_ids)


def _add_next_tokens(rows: list[SpeculatedRow], batch: DecodingRows) -> None:
    """Wait for the tokens that are sampled but not yet in the KV, and add them to the rows."""
    for row, own, token_id in zip(rows, batch.rows, batch.next_ids(), strict=True):
        if _lacks_next(row, own.token_ids):
            row.add([token_id])


def _verified(batch: DecodingRows, inputs: list[list[int]]) -> list[list[int]]:
    """Run the inputs of all rows through the model: for each input token, the token sampled after it."""
    logits = _run(batch, inputs)
    sampled = []
    for index, (row, token_ids) in enumerate(zip(batch.rows, inputs, strict=True)):
        last = mx.array(token_ids[:1], mx.int32)  # a row with processors has no draft
        sampled.append(row.sampler(batch.process(index, last, logits[index, : len(token_ids)])))
    mx.eval(sampled, batch.contexts)
    return [cast("list[int]", each.tolist()) for each in sampled]


def _run(batch: DecodingRows, inputs: list[list[int]]) -> mx.array:
    lengths = [len(each) for each in inputs]
    width = max(lengths)
    return batch.forward(mx.array([[*each, *[0] * (width - len(each))] for each in inputs]), lengths)


def _rewind(
    batch: DecodingRows, checkpoint: Sequence[Callable[[], None]], inputs: list[list[int]], kept: list[list[int]]
) -> None:
    """Take the tokens that are not kept out of the caches. The rows' processors have seen none of them."""
    if kept == inputs:
        return
    if batch.caches.can_be_cut:
        batch.caches.cut([len(each) - len(left) for each, left in zip(inputs, kept, strict=True)])
        return
    batch.caches.restore(checkpoint)
    _run(batch, kept)
    mx.async_eval(batch.caches.state)  # type: ignore[no-untyped-call]
