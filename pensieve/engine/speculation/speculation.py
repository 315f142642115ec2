"""Several tokens from one forward pass: what a prompt lookup or a draft model guesses is checked by the model, and only
what it would have said itself is kept.

Each token is sampled from the model's own distribution after the tokens before it, by the request's own sampler, as in
plain decoding. A drafted token counts where it is the sampled one. So it is accepted with its own probability, and
where it is not, what was sampled instead follows the distribution without it: the rule of speculative sampling for a
draft that is certain of itself. At temperature 0 that is the same tokens.

Rows with logits processors (a grammar, a thinking budget, a repetition penalty) are decoded plainly, beside others too:
those follow each token, and a grammar was seen to break where tokens were taken back from it.

`Speculation` puts itself before the `next` of mlx-lm's GenerationBatch, which is one token ahead: the next token is
being computed while the last one is handed out. A plain step stays just so. Only where a draft promises enough is the
next token waited for, and checked together with the draft behind it; what was not accepted is cut off the rows' KV.

All on the thread that owns MLX.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Collection, Sequence
from typing import Any, Final, cast

import mlx.core as mx

from pensieve.core.drafts.length import WIDTHS, Acceptance, best_width
from pensieve.core.drafts.prompt_lookup import PromptLookup
from pensieve.core.prefixes.common_prefix import common_prefix
from pensieve.engine.decoding.decode_step import (
    all_end,
    contexts_of,
    decode_from_logits,
    decoded,
    first_tokens,
    forward,
    hand_over,
    leave,
    processed,
    samplers_of,
    told,
)
from pensieve.engine.speculation.draft_policy import DraftPolicy
from pensieve.engine.speculation.pass_costs import Pace

_WORTH_WAITING: Final = 0.3
"""The chance that the next token, which is still being computed, is the source's: with less it is not waited for."""

_WORTH_DRAFTING: Final = 0.1
"""Expected tokens of a row's draft, beside one that is worth a pass by itself."""

_TELLING_TOKENS: Final = 256
"""The last ones of a prompt, of which it is counted how often they repeat what is before them."""


class SpeculatedRow:
    """What one request seems to copy, and how often it did."""

    def __init__(self, token_ids: Sequence[int]) -> None:
        self.lookup = PromptLookup(token_ids[:-_TELLING_TOKENS])
        self.acceptance = Acceptance()
        self.see(token_ids[-_TELLING_TOKENS:])
        self.acceptance = self.acceptance.as_prior()

    def see(self, token_ids: Sequence[int]) -> None:
        for token_id in token_ids:
            length = self.lookup.match_length
            hit = self.lookup.add(token_id)
            if hit is not None:
                self.acceptance.note(length, hit=hit)

    def expected(self, max_tokens: int) -> list[float]:
        if not self.lookup.has_source or max_tokens < 1:
            return [1.0]
        expected = self.acceptance.expected(self.lookup.match_length, max_tokens)
        return expected if expected[-1] >= 1.0 + _WORTH_DRAFTING else [1.0]

    @property
    def chance(self) -> float:
        return self.acceptance.chance(self.lookup.match_length) if self.lookup.has_source else 0.0


class Speculation:
    """Decodes a batch whose caches are `RowsKV`, some steps by several tokens a row."""

    def __init__(self, batch: Any, pace: Pace, drafting: DraftPolicy | None = None) -> None:
        """`batch` is mlx-lm's GenerationBatch, whose `next` is replaced."""
        self._of_batch = weakref.ref(batch)  # a batch that held on to itself would hold the model's weights
        self._pace = pace
        self._drafting = drafting
        self._rows: dict[int, SpeculatedRow] = {}
        self._plain_uids: list[int] = []
        self._plain_ended = 0.0
        decode_from_logits(batch)
        batch.next = self.next

    def next(self) -> list[Any]:
        """One pass for all rows: mlx-lm's responses, of which a row may have several, in their order."""
        batch = self._of_batch()
        if batch is None or not batch.uids:
            return []
        if begun := first_tokens(batch):
            self._pace.count(passes=0, tokens=len(begun))
            return begun
        drafts = self._drafts(batch)
        if any(drafts):
            self._plain_uids = []
            return self._checked(batch, drafts)
        return self._plain(batch)

    def _plain(self, batch: Any) -> list[Any]:
        uids = list(batch.uids)
        has_read = self._drafting is not None and self._drafting.has_read
        is_alone = uids == self._plain_uids and not has_read and not all_end(batch)
        responses: list[Any] = decoded(batch)
        ended = time.perf_counter()
        if is_alone:  # the one before was plain too: between them lies one pass, and nothing else
            self._pace.costs(len(uids)).note(1, ended - self._plain_ended)
        if self._drafting is not None:
            self._drafting.note_plain(self._pace.costs(len(uids)).seconds(1))
        self.drop(set(uids).difference(batch.uids))
        self._plain_uids, self._plain_ended = uids, ended
        self._pace.count(passes=len(uids), tokens=len(responses))
        return responses

    def _drafts(self, batch: Any) -> list[list[int]]:
        """What is worth checking behind each row's next token; nothing at all where plain decoding is as fast."""
        rows = self._rows_of(batch)
        limits = [_limit(batch, index) for index in range(len(rows))]
        if not any(limits):
            return []
        if self._drafting is not None:
            looked_up = [row.expected(limit) for row, limit in zip(rows, limits, strict=True)]
            self._drafting.plan(batch, limits, looked_up, self._pace.costs(len(rows)).seconds)
        if self._width(rows, limits)[0] == 1:
            return []
        if any(row.lookup.num_tokens == len(known) for row, known in zip(rows, batch.tokens, strict=True)):
            chance = max(row.chance for row, limit in zip(rows, limits, strict=True) if limit)
            if chance < _WORTH_WAITING and not (self._drafting is not None and self._drafting.is_wanted):
                return []
            _see_next(rows, batch)
        width, expected = self._width(rows, limits)
        lengths = [min(width, len(each)) - 1 for each in expected]
        drafts = [
            row.lookup.draft(length) if len(row.expected(limit)) > 1 else []
            for row, limit, length in zip(rows, limits, lengths, strict=True)
        ]
        if self._drafting is not None:
            self._drafting.draft(batch, drafts, lengths)
        return drafts

    def _rows_of(self, batch: Any) -> list[SpeculatedRow]:
        """The rows in their order, each having seen the tokens that its KV holds."""
        self._rows = {
            uid: self._rows.get(uid) or SpeculatedRow(known)
            for uid, known in zip(batch.uids, batch.tokens, strict=True)
        }
        for row, known in zip(self._rows.values(), batch.tokens, strict=True):
            row.see(known[row.lookup.num_tokens :])
        return list(self._rows.values())

    def _width(self, rows: list[SpeculatedRow], limits: list[int]) -> tuple[int, list[list[float]]]:
        """Of the pass that brings most tokens a second, and the tokens that each row can expect of it."""
        expected = [row.expected(limit) for row, limit in zip(rows, limits, strict=True)]
        seconds = self._pace.costs(len(rows)).seconds
        if self._drafting is not None:
            return self._drafting.choose(expected, seconds)
        return best_width(expected, seconds), expected

    def drop(self, uids: Collection[int]) -> None:
        """Forget rows that have left the batch."""
        for uid in uids:
            self._rows.pop(uid, None)
        if self._drafting is not None:
            self._drafting.drop(uids)

    @property
    def kv_bytes(self) -> int:
        """Of the rows' keys and values beside the batch's own: the draft model's."""
        return self._drafting.nbytes if self._drafting is not None else 0

    def _checked(self, batch: Any, drafts: list[list[int]]) -> list[Any]:
        began = time.perf_counter()
        inputs = [[last, *draft] for last, draft in zip(batch._next_tokens.tolist(), drafts, strict=True)]
        sampled = _sampled(batch, inputs)
        accepted = [common_prefix(draft, said) for draft, said in zip(drafts, sampled, strict=True)]
        batch._next_tokens = mx.array([said[num] for said, num in zip(sampled, accepted, strict=True)], mx.uint32)
        batch._next_logprobs = [None] * len(inputs)
        kept = [1 + num for num in accepted]
        for index, num in enumerate(kept):
            _rewind(batch, index, len(inputs[index]) - num)
        num_rows, width = len(inputs), max(map(len, inputs))
        self._pace.costs(num_rows).note(width, time.perf_counter() - began)
        if self._drafting is not None:
            self._drafting.verify(accepted, width, self._pace.costs(num_rows).seconds)
        responses = _handed_out(batch, inputs, kept)
        for row, known in zip(self._rows.values(), batch.tokens, strict=True):
            row.see(known[row.lookup.num_tokens :])
        _see_next(list(self._rows.values()), batch)
        leave(batch, responses)
        self.drop([response.uid for response in responses if response.finish_reason is not None])
        self._pace.count(passes=num_rows, tokens=len(responses), proposed=sum(map(len, drafts)), accepted=sum(accepted))
        return responses


def _limit(batch: Any, index: int) -> int:
    """The tokens that may be drafted for a row: its next token counts toward its max_tokens as well."""
    if batch.logits_processors[index]:
        return 0
    left: int = batch.max_tokens[index] - batch._num_tokens[index] - 1
    return max(0, min(WIDTHS[-1] - 1, left))


def _see_next(rows: list[SpeculatedRow], batch: Any) -> None:
    """The tokens that are sampled but not yet in the KV; they are waited for."""
    for row, known, token_id in zip(rows, batch.tokens, batch._next_tokens.tolist(), strict=True):
        if row.lookup.num_tokens == len(known):
            row.see([token_id])


def _sampled(batch: Any, inputs: list[list[int]]) -> list[list[int]]:
    """After each token that goes in, of each row: the token that the row's sampler takes."""
    lengths = [len(each) for each in inputs]
    width = max(lengths)
    logits = forward(batch, mx.array([[*each, *[0] * (width - len(each))] for each in inputs]), lengths)
    sampled = []
    for index, (sampler, length) in enumerate(zip(samplers_of(batch), lengths, strict=True)):
        last = mx.array(inputs[index][:1], mx.int32)  # a row that has processors has no draft
        sampled.append(sampler(processed(batch, index, last, logits[index, :length])))
    mx.eval(sampled, contexts_of(batch))
    return [cast("list[int]", each.tolist()) for each in sampled]


def _rewind(batch: Any, index: int, num_tokens: int) -> None:
    """Take the last tokens of a row back from its KV. Its processors saw none of them."""
    if not num_tokens:
        return
    for cache in batch.prompt_cache:
        cache.rows[index].offset -= num_tokens
        cache.filter(range(len(cache.rows)))  # all stay: it is how a RowsKV is told to look at its rows anew


def _handed_out(batch: Any, inputs: list[list[int]], kept: list[int]) -> list[Any]:
    """What is said of each token. A row that ends has what came behind its end cut off."""
    responses = []
    for index in range(len(inputs)):
        for place, token_id in enumerate(inputs[index][: kept[index]], 1):
            response = told(batch, index, token_id)
            if response is None:
                continue
            responses.append(response)
            if response.finish_reason is not None:
                _rewind(batch, index, kept[index] - place)
                hand_over(batch, index, response)
                break
    return responses
