"""The rows whose prompts are being prefilled, in chunks that a plan sets.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import mlx.core as mx

from pensieve.engine.decoding.pass_observer import PassObserver
from pensieve.engine.decoding.row import Row
from pensieve.engine.kv.batch_caches import BatchCaches, RowCaches
from pensieve.engine.layers.output_head import OutputHead


class PrefilledChunk(NamedTuple):
    """After it, `num_tokens` uncached prompt tokens are done. `at_stop`: it ends at a stop or at the prompt's end."""

    uid: int
    num_tokens: int
    at_stop: bool
    is_complete: bool

    @classmethod
    def of(cls, row: Row, *, at_stop: bool) -> PrefilledChunk:
        return cls(row.uid, len(row.token_ids) - row.num_cached, at_stop, len(row.token_ids) == len(row.prompt))

    @classmethod
    def last(cls, row: Row) -> PrefilledChunk:
        """The prompt's last token, left to a decode step."""
        return cls(row.uid, len(row.prompt) - row.num_cached, at_stop=True, is_complete=True)


class PrefillingRows:
    """`head`, if there is one, computes logits only for the last tokens of prompts."""

    def __init__(self, model: Any, caches: BatchCaches, head: OutputHead | None = None) -> None:
        self.model = model
        self._head = head
        self.rows: list[Row] = []
        self.caches = caches
        self.observer: PassObserver | None = None

    def add(self, rows: Sequence[tuple[Row, RowCaches]]) -> None:
        if rows:
            self.rows += [row for row, _ in rows]
            self.caches.extend(self.caches.of([caches for _, caches in rows]))

    def take_complete(self) -> tuple[list[Row], BatchCaches]:
        """Remove the rows that are ready to be decoded."""
        complete = [index for index, row in enumerate(self.rows) if not row.num_remaining]
        if not complete:
            return [], type(self.caches)()
        others = [index for index, row in enumerate(self.rows) if row.num_remaining]
        taken, self.rows = [self.rows[index] for index in complete], [self.rows[index] for index in others]
        return taken, self.caches.split(complete, others)

    def run(self, num_tokens: Mapping[int, int]) -> list[PrefilledChunk]:
        """Prefill the next `num_tokens[uid]` tokens of each row, in one pass."""
        if not self.rows:
            return []
        chunks = self.next_chunks(num_tokens)
        return self.finish(chunks, self._pass(chunks))

    def next_chunks(self, num_tokens: Mapping[int, int]) -> list[list[int]]:
        """The next `num_tokens[uid]` token ids of each row."""
        return [row.prompt[len(row.token_ids) :][: num_tokens[row.uid]] for row in self.rows]

    def finish(self, chunks: Sequence[list[int]], logits: mx.array) -> list[PrefilledChunk]:
        """Compute a pass over the rows' next chunks, and the first tokens of prompts that are complete, from the logits
        after each chunk's last token, [rows, vocabulary].
        """
        stops = [row.next_stop for row in self.rows]
        if self.observer is not None:
            self.observer.observe(self.rows, [len(chunk) for chunk in chunks])
        for index, (row, chunk) in enumerate(zip(self.rows, chunks, strict=True)):
            row.token_ids += chunk
            if len(row.token_ids) == len(row.prompt):
                row.begin_answer(logits[index : index + 1])
        mx.eval([row.next_token for row in self.rows], self.caches.state)
        if self.observer is not None:
            self.observer.finish_chunks(self.rows)
        mx.clear_cache()
        return [
            PrefilledChunk.of(row, at_stop=len(chunk) == stop)
            for row, chunk, stop in zip(self.rows, chunks, stops, strict=True)
        ]

    def _pass(self, chunks: Sequence[list[int]]) -> mx.array:
        """Start a pass. Returns the logits after each chunk's last token, [rows, vocabulary]."""
        lengths = [len(chunk) for chunk in chunks]
        width = max(lengths)
        token_ids = mx.array([[*chunk, *[0] * (width - len(chunk))] for chunk in chunks])
        last = mx.array(lengths) - 1
        with self._head.only_at(last) if self._head is not None else nullcontext():
            logits = self.caches.run(self.model, token_ids, lengths)
        return logits[:, 0] if logits.shape[1] == 1 else logits[mx.arange(len(chunks)), last]

    def drop(self, uids: Collection[int]) -> None:
        indices = [index for index, row in enumerate(self.rows) if row.uid not in uids]
        if len(indices) < len(self.rows):
            self.rows = [self.rows[index] for index in indices]
            self.caches.keep(indices)
