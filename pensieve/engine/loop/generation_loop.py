"""The loop of the one thread that owns MLX: take in, admit, one step, emit, keep. Nothing else computes."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from contracts.values.measurements import OperationPhase
from contracts.values.vocabulary import BufferUsage, Reservation
from pensieve.core.errors import GenerationError, InsufficientMemoryError, OverloadedError
from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.core.prefixes.cache_usage import stored_tokens
from pensieve.core.prefixes.sharing import worth_waiting_for
from pensieve.device.device import device_info
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.batch.batch import FAILED, Batch, Computed, PrefillProgress, Sampled
from pensieve.engine.kv.sizes import KVSizes
from pensieve.engine.loop.mailbox import PAUSE_SECONDS, Mailbox
from pensieve.engine.memory.pressure import PressureRelief
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.monitoring.record import record
from pensieve.engine.prompt_cache.null_store import NullStore
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.prompt_cache.store import Match
from pensieve.engine.requests.running import RunningRequest
from pensieve.engine.requests.ticket import Delivery, Ticket, deliver

log = logging.getLogger(__name__)

R = TypeVar("R")


class GenerationLoop:
    """Runs tickets to their one end: finished, cancelled or failed.

    `submit`, `wake`, `call` and `stop` may be called from any thread; the rest runs on the thread that calls `run`.
    """

    def __init__(self, memory: DeviceMemory, monitor: SlidingWindowMonitor) -> None:
        self._memory = memory
        self._monitor = monitor
        self._stored = PromptCache(memory, NullStore())
        self._relief: PressureRelief | None = None
        self._sizes: KVSizes
        self.mailbox = Mailbox(PAUSE_SECONDS[device_info().backend])
        self._waiting: deque[Ticket] = deque()
        self._running: dict[int, RunningRequest] = {}
        self._batch: Batch | None = None
        self._make_batch: Callable[[], Batch] | None = None
        self._deliveries: list[Delivery] = []
        self._computed: list[tuple[Computed, tuple[Boundary, ...], Ticket | None]] = []
        """What is to be kept, and whose prompt it is as long as that one still tells what was kept for it."""
        self._stopping = False

    def submit(self, ticket: Ticket) -> None:
        self.mailbox.put(lambda: self._waiting.append(ticket))

    def wake(self) -> None:
        """Something a ticket shares has changed: look at it now, even if nothing runs."""
        self.mailbox.put(lambda: None)

    def call(self, function: Callable[[], R]) -> Future[R]:
        """Run `function` on the thread that owns MLX, between two steps."""
        return self.mailbox.call(function)

    def stop(self) -> None:
        def mark() -> None:
            self._stopping = True

        self.mailbox.put(mark)

    def attach(
        self, make_batch: Callable[[], Batch], sizes: KVSizes, stored: PromptCache, relief: PressureRelief
    ) -> None:
        """Decode with the batches that `make_batch` makes, promise memory by `sizes`, and keep prompts in `stored`.

        On the loop's own thread, once the model is loaded.
        """
        self._sizes, self._stored, self._relief = sizes, stored, relief
        self._make_batch = make_batch
        self._batch = make_batch()

    def run(self) -> None:
        while not self._stopping:
            self.mailbox.drain(idle=not self._running and not self._waiting)
            self._drop_cancelled()
            self._admit()
            self._step()
            self._emit()
            self._keep()
            self._relieve()
        self.end_all()

    def _drop_cancelled(self) -> None:
        for ticket in [ticket for ticket in self._waiting if ticket.cancelled]:
            self._waiting.remove(ticket)
            self._record(ticket, OperationPhase.CANCELLED)
        gone = [uid for uid, running in self._running.items() if running.ticket.cancelled]
        for uid in gone:
            self._take_out(uid)
            self._end(uid, OperationPhase.CANCELLED)
        self._keep()  # before anybody starts: it may be the same client, trying again

    def _admit(self) -> None:
        """First come, first served: whoever's KV cache finds no room yet waits, and all behind it.

        But whoever waits for a prompt that is being read now, to compute no part of it twice, holds nobody up.
        """
        for ticket in list(self._waiting):
            if self._batch is None or len(self._running) >= self._batch.max_size:
                return
            if self._waits_for_another(ticket):
                continue
            try:
                reservation, match = self._stored.admit(ticket.prompt_token_ids, self._kv_bytes(ticket))
            except InsufficientMemoryError:
                if self._running:
                    return
                self._refuse(ticket)
                continue
            self._waiting.remove(ticket)
            self._start(ticket, reservation, match, self._batch)

    def _kv_bytes(self, ticket: Ticket) -> int:
        """What has to be promised to a request before it starts: prompt and answer, as long as it may get."""
        running = self._running.values()
        promised_bytes = sum(each.reservation.num_bytes for each in running)
        promised_tokens = [each.promised_tokens for each in running]
        return max(1, self._sizes.joining(ticket.max_total_tokens, promised_tokens, promised_bytes))

    def _start(self, ticket: Ticket, reservation: Reservation, match: Match, batch: Batch) -> None:
        stops = tuple(boundary.num_tokens for boundary in ticket.boundaries) if self._stored.needs_snapshots else None
        uid = batch.insert(ticket, match, stops or ())
        known = ticket.cached_tokens = match.num_tokens
        if self._stored.limit_bytes:
            ticket.stored_5m_tokens, ticket.stored_1h_tokens = stored_tokens(ticket.boundaries, known)
        self._running[uid] = RunningRequest(uid, ticket, batch.new_output(ticket), reservation, known, known, stops)
        self._record(ticket, OperationPhase.STARTED)

    def _waits_for_another(self, ticket: Ticket) -> bool:
        """Whether a prompt that is being read will soon give this one more than it would find now (C6)."""
        prefills = [running.prefill for running in self._running.values() if running.is_prefilling]
        if not prefills or not self._stored.limit_bytes:
            return False
        token_ids = ticket.prompt_token_ids
        prefill = worth_waiting_for(token_ids, self._stored.cached_tokens(token_ids), prefills)
        if prefill is None or self._batch is None:
            return False
        if prefill.num_prefilled < prefill.usable_by(token_ids):
            return True
        if not self._stored.needs_snapshots:
            self._stored.keep(*self._batch.computed(prefill.uid))
        return False

    def _step(self) -> None:
        """One prefill chunk and one decode step for all. Whatever fails in it fails those who are in it."""
        if not self._running or self._batch is None:
            return
        began = time.monotonic()
        try:
            sampled, read = self._batch.next()
        except Exception:
            log.exception("a generation step failed; %d requests fail with it", len(self._running))
            self._fail_running()
            return
        seconds = time.monotonic() - began
        self._monitor.record_busy(seconds)
        num_prefilled = sum(self._note_read(each) for each in read)
        if num_prefilled and not sampled:
            self._stored.note_prefill(num_prefilled, seconds)
        for each in sampled:
            if each.uid not in self._running:  # it ended within this step: what the step says after that is dropped
                continue
            try:
                self._push(each)
            except Exception:
                log.exception("a token could not be turned into text; its request fails, the others go on")
                self._take_out(each.uid)
                self._fail(each.uid)
        self._memory.note_measured(self, BufferUsage.KV_CACHE, self._batch.kv_cache_bytes)

    def _note_read(self, read: PrefillProgress) -> int:
        """A prompt has been read further: how far. At its end, or at a stop, what is computed is worth keeping."""
        running = self._running[read.uid]
        before, running.num_prefilled = running.num_prefilled, running.cached_tokens + read.num_tokens
        worth_keeping = read.at_stop and not read.is_complete if self._stored.needs_snapshots else read.is_complete
        if worth_keeping and self._stored.limit_bytes and self._batch is not None:
            self._computed.append((self._batch.computed(read.uid), running.ticket.boundaries, running.ticket))
        return running.num_prefilled - before

    def _push(self, sampled: Sampled) -> None:
        running = self._running[sampled.uid]
        if running.ticket.count_token():
            self._record(running.ticket, OperationPhase.PROGRESS)
        if sampled.finish_reason == FAILED:
            raise GenerationError("its grammar broke")
        events, ended = running.output.push(sampled.token_id, sampled.finish_reason)
        self._deliveries += [(running.ticket, event) for event in events]
        if ended:
            self._take_out(sampled.uid, sampled.computed)
            self._end(sampled.uid, OperationPhase.COMPLETED)

    def _take_out(self, uid: int, computed: Computed | None = None) -> None:
        """A row leaves the batch, unless mlx-lm took it out and gave what it `computed`. That is worth keeping."""
        if computed is None and self._batch is not None:
            computed = self._batch.remove([uid]).get(uid)
        if computed is None or not computed[0] or not self._stored.limit_bytes:
            return
        running = self._running[uid]
        end = () if running.is_prefilling else (Boundary(len(computed[0]), BoundaryKind.ANSWER),)
        self._computed.append((computed, (*running.ticket.boundaries, *end), None))

    def _emit(self) -> None:
        if self._deliveries:
            deliver(self._deliveries)
            self._deliveries = []

    def _keep(self) -> None:
        """Store what was computed, once nobody waits for it."""
        computed, self._computed = self._computed, []
        for (token_ids, caches), boundaries, ticket in computed:
            is_kept = self._stored.keep(token_ids, caches, boundaries, move=ticket is None)
            if ticket is not None and not is_kept:
                ticket.stored_5m_tokens = ticket.stored_1h_tokens = 0

    def _relieve(self) -> None:
        """Once a step's memory is what it is: is it too much?"""
        if self._relief is not None and self._batch is not None:
            self._relief.look()
            self._batch.chunk_tokens = self._relief.chunk_tokens

    def _end(self, uid: int, phase: OperationPhase) -> None:
        running = self._running.pop(uid)
        self._memory.release(running.reservation)
        self._record(running.ticket, phase)
        if not self._running and self._batch is not None:
            self._memory.note_measured(self, BufferUsage.KV_CACHE, 0)
            self._memory.reclaim()

    def _fail(self, uid: int) -> None:
        self._deliveries.append((self._running[uid].ticket, GenerationError("the model failed in mid-answer")))
        self._end(uid, OperationPhase.FAILED)

    def _record(self, ticket: Ticket, phase: OperationPhase) -> None:
        record(self._monitor, self._memory.usage(), ticket, phase)

    def _refuse(self, ticket: Ticket) -> None:
        """Nothing of ours runs that could give its memory back: others hold it, and this loop cannot wait for them."""
        if self._relief is not None:
            self._relief.note_refusal()
        self._waiting.remove(ticket)
        self._deliveries.append((ticket, OverloadedError("the memory is in use by others", retry_after_seconds=5)))
        self._record(ticket, OperationPhase.FAILED)

    def _fail_running(self) -> None:
        """The batch is in an unknown state: give up all of it and start afresh."""
        self._batch = None
        self._computed = []
        for uid in list(self._running):
            self._fail(uid)
        if self._make_batch is not None:
            self._batch = self._make_batch()

    def end_all(self) -> None:
        """The engine closes: every open stream is told, and all it held comes back. On the loop's thread."""
        stopped = [*self._waiting, *(running.ticket for running in self._running.values())]
        for uid in list(self._running):
            self._take_out(uid)
            self._end(uid, OperationPhase.CANCELLED)
        self._keep()
        self._batch = self._make_batch = None
        self._waiting.clear()
        self._deliveries += [(ticket, GenerationError("the server is stopping")) for ticket in stopped]
        self._emit()
