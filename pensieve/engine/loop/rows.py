"""The running requests: their rows in the batch, from the first chunk of the prompt to the last token."""

from __future__ import annotations

import time

from contracts.values.measurements import OperationPhase
from contracts.values.vocabulary import Reservation
from pensieve.core.errors import GenerationError
from pensieve.core.prefixes.boundary import Boundary
from pensieve.core.prefixes.cache_usage import cache_creation_tokens
from pensieve.core.prefixes.states import States
from pensieve.engine.batch.batch import Batch
from pensieve.engine.batch.prefilling_rows import PrefilledChunk
from pensieve.engine.decoding.row import FAILED, Computed, Sampled
from pensieve.engine.loop.bookkeeping import Bookkeeping
from pensieve.engine.loop.faults import Faults, LoopFailedError
from pensieve.engine.loop.outbox import Outbox
from pensieve.engine.loop.parts import LoopParts
from pensieve.engine.loop.pending_stores import PendingStores
from pensieve.engine.loop.progress import LoopProgress
from pensieve.engine.prompt_cache.match import Match
from pensieve.engine.requests.event_stream import EventStream
from pensieve.engine.requests.prompt import PreparedPrompt
from pensieve.engine.requests.running import RunningRequest
from pensieve.engine.requests.ticket import Ticket

_FAILED = "the model failed during the answer"
_UNENFORCED = "the answer failed because its schema could not be enforced to the end: give it simpler patterns"


class Rows:
    """The requests in `batch` by the uid of their row. An exception of any method leaves the batch in an unknown state:
    call `restart` then.
    """

    def __init__(self, parts: LoopParts, outbox: Outbox, books: Bookkeeping, faults: Faults) -> None:
        self.running: dict[int, RunningRequest] = {}
        self.batch: Batch | None = parts.make_batch()
        """None while a new one is made."""
        self.stores = PendingStores(parts.prompt_cache, faults)
        self._parts = parts
        self._outbox = outbox
        self._books = books
        self._faults = faults

    def start(self, batch: Batch, ticket: Ticket, reservation: Reservation, match: Match) -> None:
        """Insert a row. If that fails, the other rows are as before, and the caller releases the reservation."""
        prompt_cache = self._parts.prompt_cache
        prompt, progress = ticket.prompt, ticket.progress
        boundaries = self._boundaries(batch, prompt)
        stops = tuple(each.num_tokens for each in boundaries) if prompt_cache.needs_snapshots else None
        output = batch.new_output(prompt, progress)
        cached = progress.cached_tokens = progress.prefilled_tokens = match.num_tokens
        if prompt_cache.limit_bytes:
            progress.stored_5m_tokens, progress.stored_1h_tokens = cache_creation_tokens(prompt.boundaries, cached)
        uid = batch.insert(prompt, progress.max_answer_tokens, match, stops or ())
        self.running[uid] = RunningRequest(uid, ticket, output, reservation, cached, cached, stops, boundaries)
        self._books.record(ticket, OperationPhase.STARTED)

    def _boundaries(self, batch: Batch, prompt: PreparedPrompt) -> tuple[Boundary, ...]:
        """The prompt's own, and those that the prompt cache adds."""
        states = States(batch.chunk_tokens, self._parts.sizes.snapshot)
        further = self._parts.prompt_cache.further_boundaries(
            prompt.token_ids, prompt.boundaries, states, namespace=prompt.namespace
        )
        return *prompt.boundaries, *further

    def step(self, progress: LoopProgress) -> None:
        """Run one prefill chunk and one decode step."""
        if not self.running or self.batch is None:
            return
        began = time.monotonic()
        sampled, chunks = self.batch.step()
        seconds = time.monotonic() - began
        if sampled or chunks:
            progress.note_step(seconds)
        num_prefilled = sum(self._note_prefill(self.batch, each) for each in chunks)
        prefilling = {each.uid for each in chunks}
        if num_prefilled and all(each.uid in prefilling for each in sampled):  # no other row was decoded
            self._parts.prompt_cache.note_prefill(num_prefilled, seconds)
        for each in sampled:
            if each.uid in self.running:  # or it ended earlier in this step: drop the rest of its tokens
                self._push(each)
        self._books.note_step(seconds, self.batch.kv_cache_bytes)

    def _note_prefill(self, batch: Batch, chunk: PrefilledChunk) -> int:
        """Note a prompt's progress, and return its new tokens. Store what is computed at a stop or at its end."""
        running = self.running[chunk.uid]
        before, running.num_prefilled = running.num_prefilled, running.cached_tokens + chunk.num_tokens
        running.ticket.progress.prefilled_tokens = running.num_prefilled
        prompt_cache = self._parts.prompt_cache
        is_stop = chunk.at_stop and not chunk.is_complete
        is_worth_storing = is_stop if prompt_cache.needs_snapshots else chunk.is_complete
        has_ended = chunk.uid not in batch  # in this step: then all of it is stored
        if is_worth_storing and prompt_cache.limit_bytes and not has_ended:
            with self._faults.contained("reading a computed prompt"):
                self.stores.add_prompt(running, batch.computed(chunk.uid))
        return running.num_prefilled - before

    def _push(self, sampled: Sampled) -> None:
        """Add a token to its answer. An exception fails this request; the others continue."""
        if sampled.finish_reason == FAILED:  # the mask has logged why: the request's fault, not the engine's
            self.remove(sampled.uid)
            self._fail(sampled.uid, _UNENFORCED)
            return
        running = self.running[sampled.uid]
        if running.ticket.progress.count_token():
            self._books.record(running.ticket, OperationPhase.PROGRESS)
        try:
            events, ended = running.output.push(sampled.token_id, sampled.finish_reason)
        except Exception:
            self.remove(sampled.uid)
            self._fail(sampled.uid)
            self._faults.fail("decoding a token's text, and with it one request,", running.ticket.prompt.fingerprint)
            return
        self._outbox.add(running.ticket.stream, events)
        if ended:
            self.remove(sampled.uid, sampled.computed)
            self.end(sampled.uid, OperationPhase.COMPLETED)
            self._faults.note_answer()

    def remove(self, uid: int, computed: Computed | None = None) -> None:
        """Remove a row from the batch, unless it ended there and left with what it `computed`; store that."""
        if computed is None and self.batch is not None:
            computed = self.batch.remove([uid]).get(uid)
        self.stores.add_removed(self.running[uid], computed)

    def end(self, uid: int, phase: OperationPhase) -> None:
        running = self.running.pop(uid)
        self._books.end(running, phase, is_last=not self.running)

    def _fail(self, uid: int, message: str = _FAILED) -> None:
        self._outbox.add(self.running[uid].ticket.stream, [GenerationError(message)])
        self.end(uid, OperationPhase.FAILED)

    def fail_undelivered(self, streams: set[EventStream]) -> None:
        """Fail the requests whose streams have a gap."""
        for uid in [uid for uid, running in self.running.items() if running.ticket.stream in streams]:
            self.remove(uid)
            self.end(uid, OperationPhase.FAILED)

    def restart(self) -> None:
        """Fail all running requests and start with a new batch: the state of this one is unknown.

        Raises:
            LoopFailedError: there is no new batch.
        """
        self.batch = None
        self.stores.clear()
        for uid in list(self.running):
            self._fail(uid)
        self._outbox.flush()  # making a batch may take long
        try:
            self.batch = self._parts.rebuild_batch()
        except Exception as error:
            self._faults.log("making a new batch after a fault")
            raise LoopFailedError(f"after a fault, the model no longer computes: {error}") from error

    def close(self) -> None:
        """End all requests, without an event, and drop the batch."""
        for uid in list(self.running):
            with self._faults.contained("removing a row"):
                self.remove(uid)
            self.end(uid, OperationPhase.CANCELLED)
        self.stores.flush()
        self.batch = None
