"""The rows that are decoding: each pass processes one token of every row and samples the next.

Decoding runs one token ahead: the next token is being computed while the last one is emitted.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

import mlx.core as mx

from pensieve.engine.decoding.pass_observer import PassObserver
from pensieve.engine.decoding.row import FAILED, Row, Sampled
from pensieve.engine.kv.batch_caches import BatchCaches

_CLEANING_STEPS: Final = 512
"""Passes after which the buffers that MLX keeps for reuse are freed: growing caches leave them in ever new sizes."""


class DecodingRows:
    """`next_tokens`, uint32 [rows], are sampled, but not in the caches yet.

    Samplers get logits rather than log probabilities, which would take an exponential for each entry of the vocabulary:
    the API returns none, most samplers need none, and those that do normalise by themselves.
    """

    def __init__(self, model: Any, eos_token_ids: Collection[int], caches: BatchCaches) -> None:
        self.model = model
        self.rows: list[Row] = []
        self.caches = caches
        self.next_tokens = mx.array([], mx.uint32)
        self.copies = 1
        """How many times each row is fed in a pass: see `cpu_tuning`."""
        self.observer: PassObserver | None = None
        self._eos_token_ids = frozenset(eos_token_ids)
        self._has_new_rows = False
        self._num_passes = 0

    @property
    def has_new_rows(self) -> bool:
        """Whether the next step emits first tokens without a pass."""
        return self._has_new_rows

    @property
    def all_end(self) -> bool:
        """Whether every row reaches its max_tokens with its next token, so that no further pass is needed."""
        return all(row.ends_with_next for row in self.rows)

    def join(self, rows: Sequence[Row], caches: BatchCaches) -> list[Sampled]:
        """Add prefilled rows. A prompt's last token, or the first token computed from it, enters the next pass.

        If the former is the case and no row is decoding yet, that pass starts at once. Returns what it emits.
        """
        starts = not self.rows
        for row in rows:
            row.begin_context()
        joining = [mx.array(row.prompt[-1:], mx.uint32) if row.next_token is None else row.next_token for row in rows]
        self.rows += rows
        self.caches.extend(caches)
        self.next_tokens = mx.concatenate([self.next_tokens, *joining]) if not starts else mx.concatenate(joining)
        if not starts or all(row.next_token is not None for row in rows):
            return []
        self._has_new_rows = True
        return self.decode()

    def next(self) -> list[Sampled]:
        """Run one step and return its tokens. Rows that end leave."""
        return self.first_tokens() or self.decode()

    def first_tokens(self) -> list[Sampled]:
        """The first tokens of answers that have just begun, when no other row is decoding, before the next pass starts.

        `decode` starts the next pass before it emits. Where MLX blocks for most of a pass, as on a CPU, the first token
        would wait for the second token's pass. Rows that end with their first token are left to `decode`.
        """
        if not self._has_new_rows:
            return []
        self._has_new_rows = False
        emitted = (self.emit_ahead(row, token_id) for row, token_id in zip(self.rows, self.next_ids(), strict=True))
        return [each for each in emitted if each is not None]

    def emit_ahead(self, row: Row, token_id: int) -> Sampled | None:
        """Emit a row's next token before it enters the caches, unless it ends the answer."""
        if row.ends_with_next or token_id in self._eos_token_ids:
            return None
        row.is_emitted_ahead = True
        return Sampled(row.uid, token_id, None)

    def decode(self, logits: mx.array | None = None) -> list[Sampled]:
        """Return each row's next token. Start a pass after them, or go on with one's logits [rows, vocabulary]."""
        if not self.rows:
            return []
        is_last = self.all_end
        token_ids = self.next_ids() if is_last else self._sample_next(self._pass() if logits is None else logits)
        sampled = self._emit(token_ids, has_passed=not is_last)
        self.drop_finished(sampled)
        return sampled

    def until_end(self, token_ids: Sequence[int]) -> int:
        """How many of a row's next tokens there are until one ends the answer, or all of them."""
        ends = (place for place, token_id in enumerate(token_ids, 1) if token_id in self._eos_token_ids)
        return next(ends, len(token_ids))

    def next_ids(self) -> list[int]:
        token_ids: list[int] = self.next_tokens.tolist()  # type: ignore[assignment]
        return token_ids

    def _emit(self, token_ids: Sequence[int], *, has_passed: bool = True) -> list[Sampled]:
        emitted = (self.emit(index, token_id, has_passed=has_passed) for index, token_id in enumerate(token_ids))
        return [each for each in emitted if each is not None]

    def emit(self, index: int, token_id: int, *, has_passed: bool = True) -> Sampled | None:
        """A token that has just entered the caches; None for a prompt's last token, and for what is emitted already.

        `has_passed` is False for the last tokens of rows that all end: they went through no pass.
        """
        row = self.rows[index]
        row.token_ids.append(token_id)
        row.num_sampled += 1
        if not row.num_sampled:
            return None
        if row.is_emitted_ahead:
            row.is_emitted_ahead = False
            return None
        if row.mask is not None and row.mask.failed:
            return Sampled(row.uid, token_id, FAILED)
        reason = "length" if row.num_sampled >= row.max_tokens else None
        if token_id in self._eos_token_ids:
            reason = "stop"
        if reason is None:
            return Sampled(row.uid, token_id, None)
        held = row.token_ids if has_passed else row.token_ids[:-1]
        return Sampled(row.uid, token_id, reason, (held, self.caches.row(index)))

    def drop_finished(self, sampled: Sequence[Sampled]) -> None:
        self.drop({each.uid for each in sampled if each.computed is not None})

    def drop(self, uids: Collection[int]) -> None:
        indices = [index for index, row in enumerate(self.rows) if row.uid not in uids]
        if len(indices) == len(self.rows):
            return
        self.rows = [self.rows[index] for index in indices]
        self.caches.keep(indices)
        self.next_tokens = self.next_tokens[mx.array(indices, mx.uint32)]
        self._has_new_rows &= bool(indices)

    def forward(self, token_ids: mx.array, lengths: Sequence[int]) -> mx.array:
        """Logits [rows, tokens, vocabulary] for `token_ids` [rows, tokens], right-padded beyond their `lengths`."""
        return self.caches.run(self.model, token_ids, lengths)

    def observe(self, num_tokens: Sequence[int]) -> None:
        """Show the last pass to the observer, before its first `num_tokens[i]` tokens are added to row i."""
        if self.observer is not None:
            self.observer.observe(self.rows, num_tokens)

    def process(self, index: int, token_id: mx.array, logits: mx.array) -> mx.array:
        """Apply a row's processors to logits [1, vocabulary]. `token_id` [1] is the row's last token."""
        self.rows[index].observe(token_id)
        return self.rows[index].processed(logits)

    @property
    def contexts(self) -> list[mx.array]:
        """The token arrays that processors see. Evaluate them with each pass: nothing else does, and they grow."""
        return [row.context.state for row in self.rows if row.processors]

    def _pass(self) -> mx.array:
        """Logits [rows, vocabulary] after each row's next token."""
        num_rows = len(self.rows)
        fed = mx.broadcast_to(self.next_tokens[:, None], (num_rows, self.copies))
        logits = self.forward(fed, [1] * num_rows)[:, 0, :]
        self.observe([1] * num_rows)
        return logits

    def _sample_next(self, logits: mx.array) -> list[int]:
        """Start computing the token after each row's next one, and return the next ones."""
        inputs, num_rows = self.next_tokens, len(self.rows)
        if any(row.processors for row in self.rows):
            parts = [
                self.process(index, inputs[index : index + 1], logits[index : index + 1]) for index in range(num_rows)
            ]
            logits = mx.concatenate(parts)
        self.next_tokens = self._sample(logits)
        mx.async_eval(self.next_tokens, self.contexts)  # type: ignore[no-untyped-call]
        self._num_passes += 1
        if self._num_passes % _CLEANING_STEPS == 0:
            mx.clear_cache()
        token_ids: list[int] = inputs.tolist()  # type: ignore[assignment]
        return token_ids

    def _sample(self, logits: mx.array) -> mx.array:
        samplers = [row.sampler for row in self.rows]
        if all(sampler is samplers[0] for sampler in samplers):
            return samplers[0](logits)
        return mx.concatenate([sampler(logits[row : row + 1]) for row, sampler in enumerate(samplers)])
