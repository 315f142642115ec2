"""The loop of the one thread that owns MLX: receive, admit, run one step, emit, store. Only this thread computes."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable

from contracts.values.measurements import OperationPhase
from contracts.values.vocabulary import BufferUsage, Reservation
from pensieve.core.errors import GenerationError, OverloadedError
from pensieve.core.prefixes.cache_usage import cache_creation_tokens
from pensieve.device.device import device_info
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.batch.batch import Batch
from pensieve.engine.batch.prefilling_rows import PrefilledChunk
from pensieve.engine.decoding.row import FAILED, Computed, Sampled
from pensieve.engine.kv.sizes import KVSizes
from pensieve.engine.loop.admission import reserve, waits_for_prefill
from pensieve.engine.loop.mailbox import PAUSE_SECONDS, Mailbox
from pensieve.engine.loop.pending_stores import PendingStores
from pensieve.engine.memory.pressure import PressureRelief
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.monitoring.record import record
from pensieve.engine.prompt_cache.match import Match
from pensieve.engine.prompt_cache.null_store import NullStore
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.requests.running import RunningRequest
from pensieve.engine.requests.ticket import Delivery, Ticket, deliver

log = logging.getLogger(__name__)


class GenerationLoop:
    """Runs every ticket to exactly one end: finished, cancelled or failed.

    `submit`, `stop` and the mailbox may be used from any thread; the rest runs on the thread that calls `run`.
    """

    def __init__(self, memory: DeviceMemory, monitor: SlidingWindowMonitor) -> None:
        self._memory = memory
        self._monitor = monitor
        self._prompt_cache = PromptCache(memory, NullStore())
        self._relief: PressureRelief | None = None
        self._sizes: KVSizes
        self.mailbox = Mailbox(PAUSE_SECONDS[device_info().backend])
        self._waiting: deque[Ticket] = deque()
        self._running: dict[int, RunningRequest] = {}
        self._batch: Batch | None = None
        self._make_batch: Callable[[], Batch] | None = None
        self._deliveries: list[Delivery] = []
        self._pending_stores = PendingStores(self._prompt_cache)
        self._stopping = False

    def submit(self, ticket: Ticket) -> None:
        self.mailbox.put(lambda: self._waiting.append(ticket))

    def stop(self) -> None:
        def mark() -> None:
            self._stopping = True

        self.mailbox.put(mark)

    def attach(
        self, make_batch: Callable[[], Batch], sizes: KVSizes, prompt_cache: PromptCache, relief: PressureRelief
    ) -> None:
        """Attach the parts of a loaded model. Call on the loop's own thread."""
        self._sizes, self._prompt_cache, self._relief = sizes, prompt_cache, relief
        self._pending_stores = PendingStores(prompt_cache)
        self._make_batch = make_batch
        self._batch = make_batch()

    def run(self) -> None:
        while not self._stopping:
            self.mailbox.drain(idle=not self._running and not self._waiting)
            self._drop_cancelled()
            self._admit()
            self._step()
            self._emit()
            self._pending_stores.flush()
            self._relieve_pressure()
        self.end_all()

    def _drop_cancelled(self) -> None:
        for ticket in [ticket for ticket in self._waiting if ticket.cancelled]:
            self._waiting.remove(ticket)
            self._record(ticket, OperationPhase.CANCELLED)
        cancelled = [uid for uid, running in self._running.items() if running.ticket.cancelled]
        for uid in cancelled:
            self._remove_row(uid)
            self._end(uid, OperationPhase.CANCELLED)
        self._pending_stores.flush()  # before the next request starts: it may be a retry of this one

    def _admit(self) -> None:
        """First come, first served: a ticket without room for its KV cache holds back all that came after it.

        A ticket that waits for another's prefill, to avoid computing the same prefix twice, holds back nothing.
        """
        for ticket in list(self._waiting):
            if self._batch is None or len(self._running) >= self._batch.max_size:
                return
            if waits_for_prefill(ticket, self._running.values(), self._prompt_cache, self._batch):
                continue
            room = reserve(ticket, self._running.values(), self._sizes, self._prompt_cache)
            if room is not None:
                self._waiting.remove(ticket)
                self._start(ticket, *room, self._batch)
            elif self._running:
                return
            else:
                self._refuse(ticket)

    def _start(self, ticket: Ticket, reservation: Reservation, match: Match, batch: Batch) -> None:
        needs_stops = self._prompt_cache.needs_snapshots
        stops = tuple(boundary.num_tokens for boundary in ticket.boundaries) if needs_stops else None
        uid = batch.insert(ticket, match, stops or ())
        cached = ticket.cached_tokens = match.num_tokens
        if self._prompt_cache.limit_bytes:
            ticket.stored_5m_tokens, ticket.stored_1h_tokens = cache_creation_tokens(ticket.boundaries, cached)
        self._running[uid] = RunningRequest(uid, ticket, batch.new_output(ticket), reservation, cached, cached, stops)
        self._record(ticket, OperationPhase.STARTED)

    def _step(self) -> None:
        """Run one prefill chunk and one decode step. An exception fails every request in the batch."""
        if not self._running or self._batch is None:
            return
        began = time.monotonic()
        try:
            sampled, progress = self._batch.step()
        except Exception:
            log.exception("a generation step failed, and its %d requests with it", len(self._running))
            self._fail_running()
            return
        seconds = time.monotonic() - began
        self._monitor.record_busy(seconds)
        num_prefilled = sum(self._note_prefill(each) for each in progress)
        if num_prefilled and not sampled:
            self._prompt_cache.note_prefill(num_prefilled, seconds)
        for each in sampled:
            if each.uid not in self._running:  # it ended earlier in this step: drop the rest of its tokens
                continue
            try:
                self._push(each)
            except Exception:
                log.exception("decoding a token's text failed; its request fails, the others continue")
                self._remove_row(each.uid)
                self._fail(each.uid)
        self._memory.note_measured(self, BufferUsage.KV_CACHE, self._batch.kv_cache_bytes)

    def _note_prefill(self, progress: PrefilledChunk) -> int:
        """Note a prompt's progress, and return its new tokens. Store what is computed at a stop or at its end."""
        running = self._running[progress.uid]
        before, running.num_prefilled = running.num_prefilled, running.cached_tokens + progress.num_tokens
        needs_stops = self._prompt_cache.needs_snapshots
        is_worth_storing = progress.at_stop and not progress.is_complete if needs_stops else progress.is_complete
        if is_worth_storing and self._prompt_cache.limit_bytes and self._batch is not None:
            self._pending_stores.add_prompt(running, self._batch.computed(progress.uid))
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
            self._remove_row(sampled.uid, sampled.computed)
            self._end(sampled.uid, OperationPhase.COMPLETED)

    def _remove_row(self, uid: int, computed: Computed | None = None) -> None:
        """Remove a row from the batch, unless mlx-lm already did and returned what it `computed`; store that."""
        if computed is None and self._batch is not None:
            computed = self._batch.remove([uid]).get(uid)
        self._pending_stores.add_removed(self._running[uid], computed)

    def _emit(self) -> None:
        if self._deliveries:
            deliver(self._deliveries)
            self._deliveries = []

    def _relieve_pressure(self) -> None:
        if self._relief is not None and self._batch is not None:
            self._relief.update()
            self._batch.chunk_tokens = self._relief.chunk_tokens

    def _end(self, uid: int, phase: OperationPhase) -> None:
        running = self._running.pop(uid)
        self._memory.release(running.reservation)
        self._record(running.ticket, phase)
        if not self._running and self._batch is not None:
            self._memory.note_measured(self, BufferUsage.KV_CACHE, 0)
            self._memory.reclaim()

    def _fail(self, uid: int) -> None:
        self._deliveries.append((self._running[uid].ticket, GenerationError("the model failed during the answer")))
        self._end(uid, OperationPhase.FAILED)

    def _record(self, ticket: Ticket, phase: OperationPhase) -> None:
        record(self._monitor, self._memory.usage(), ticket, phase)

    def _refuse(self, ticket: Ticket) -> None:
        """Other models or processes hold the memory: no request of this loop could free any by ending."""
        if self._relief is not None:
            self._relief.note_refusal()
        self._waiting.remove(ticket)
        self._deliveries.append((ticket, OverloadedError("other models or processes are using the memory")))
        self._record(ticket, OperationPhase.FAILED)

    def _fail_running(self) -> None:
        """Fail all running requests and start with a new batch: the state of this one is unknown."""
        self._batch = None
        self._pending_stores.clear()
        for uid in list(self._running):
            self._fail(uid)
        if self._make_batch is not None:
            self._batch = self._make_batch()

    def end_all(self) -> None:
        """End every open stream with an error and free everything. Call on the loop's own thread."""
        stopped = [*self._waiting, *(running.ticket for running in self._running.values())]
        for uid in list(self._running):
            self._remove_row(uid)
            self._end(uid, OperationPhase.CANCELLED)
        self._pending_stores.flush()
        self._batch = self._make_batch = None
        self._waiting.clear()
        self._deliveries += [(ticket, GenerationError("the server is stopping")) for ticket in stopped]
        self._emit()
