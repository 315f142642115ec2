"""The loop of the one thread that owns MLX: take in, admit, one step, emit. Nothing else computes."""

from __future__ import annotations

import logging
import queue
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from contracts.vocabulary import BufferUsage, OperationPhase, Reservation
from pensieve.core.errors import GenerationError, InsufficientMemoryError, OverloadedError
from pensieve.engine.batch import FAILED, Batch
from pensieve.engine.output import Output
from pensieve.engine.performance import SlidingWindowMonitor
from pensieve.engine.ticket import Delivery, Ticket, deliver, record
from pensieve.metal.memory import DeviceMemory

log = logging.getLogger(__name__)

R = TypeVar("R")


@dataclass(slots=True)
class _Running:
    """A ticket in the batch, what it said, and the bytes that are its own until it ends."""

    ticket: Ticket
    output: Output
    reservation: Reservation


class GenerationLoop:
    """Runs tickets to their one end: finished, cancelled or failed.

    `submit`, `wake`, `call` and `stop` may be called from any thread; the rest runs on the thread that calls `run`.
    """

    def __init__(self, memory: DeviceMemory, monitor: SlidingWindowMonitor, kv_bytes: Callable[[Ticket], int]) -> None:
        self._memory = memory
        self._monitor = monitor
        self._kv_bytes = kv_bytes
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._waiting: deque[Ticket] = deque()
        self._running: dict[int, _Running] = {}
        self._batch: Batch | None = None
        self._make_batch: Callable[[], Batch] | None = None
        self._deliveries: list[Delivery] = []
        self._stopping = False

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        return len(self._running)

    def submit(self, ticket: Ticket) -> None:
        self._inbox.put(lambda: self._waiting.append(ticket))

    def wake(self) -> None:
        """Something a ticket shares has changed: look at it now, even if nothing runs."""
        self._inbox.put(lambda: None)

    def call(self, function: Callable[[], R]) -> Future[R]:
        """Run `function` on the thread that owns MLX, between two steps."""
        future: Future[R] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self._inbox.put(run)
        return future

    def stop(self) -> None:
        def mark() -> None:
            self._stopping = True

        self._inbox.put(mark)

    def use(self, make_batch: Callable[[], Batch]) -> None:
        """Decode with the batches that `make_batch` makes; on the loop's own thread, once the model is loaded."""
        self._make_batch = make_batch
        self._batch = make_batch()

    def run(self) -> None:
        while not self._stopping:
            self._take_in()
            self._drop_cancelled()
            self._admit()
            self._step()
            self._emit()
        self.end_all()

    def _take_in(self) -> None:
        """Everything that has arrived; with nothing to compute, wait for it."""
        idle = not self._running and not self._waiting
        while True:
            try:
                self._inbox.get(block=idle)()
            except queue.Empty:
                return
            idle = False

    def _drop_cancelled(self) -> None:
        for ticket in [ticket for ticket in self._waiting if ticket.cancelled]:
            self._waiting.remove(ticket)
            self._record(ticket, OperationPhase.CANCELLED)
        gone = [uid for uid, running in self._running.items() if running.ticket.cancelled]
        if gone and self._batch is not None:
            self._batch.remove(gone)
        for uid in gone:
            self._end(uid, OperationPhase.CANCELLED)

    def _admit(self) -> None:
        """First come, first served: whoever's KV cache finds no room yet waits, and all behind it."""
        while self._waiting and self._batch is not None and len(self._running) < self._batch.max_size:
            ticket = self._waiting[0]
            try:
                reservation = self._memory.reserve(self._kv_bytes(ticket), BufferUsage.KV_CACHE)
            except InsufficientMemoryError:
                if self._running:
                    return
                self._refuse(ticket)
                continue
            self._waiting.popleft()
            uid = self._batch.insert(ticket)
            self._running[uid] = _Running(ticket, self._batch.new_output(ticket), reservation)
            self._record(ticket, OperationPhase.STARTED)

    def _step(self) -> None:
        """One prefill chunk and one decode step for all. Whatever fails in it fails those who are in it."""
        if not self._running or self._batch is None:
            return
        began = time.monotonic()
        try:
            sampled = self._batch.next()
        except Exception:
            log.exception("a generation step failed; %d requests fail with it", len(self._running))
            self._fail_running()
            return
        self._monitor.record_busy(time.monotonic() - began)
        for uid, token_id, finish_reason in sampled:
            try:
                self._push(uid, token_id, finish_reason)
            except Exception:
                log.exception("a token could not be turned into text; its request fails, the others go on")
                self._batch.remove([uid])
                self._fail(uid)
        self._memory.measured_kv_cache_bytes = self._batch.kv_cache_bytes

    def _push(self, uid: int, token_id: int, finish_reason: str | None) -> None:
        running = self._running[uid]
        if running.ticket.count_token():
            self._record(running.ticket, OperationPhase.PROGRESS)
        if finish_reason == FAILED:
            raise GenerationError("its grammar broke")
        events, ended = running.output.push(token_id, finish_reason)
        self._deliveries += [(running.ticket, event) for event in events]
        if ended:
            if finish_reason is None and self._batch is not None:
                self._batch.remove([uid])
            self._end(uid, OperationPhase.COMPLETED)

    def _emit(self) -> None:
        if self._deliveries:
            deliver(self._deliveries)
            self._deliveries = []

    def _end(self, uid: int, phase: OperationPhase) -> None:
        running = self._running.pop(uid)
        self._memory.release(running.reservation)
        self._record(running.ticket, phase)
        if not self._running and self._batch is not None:
            self._memory.measured_kv_cache_bytes = 0
            self._memory.reclaim()

    def _fail(self, uid: int) -> None:
        self._deliveries.append((self._running[uid].ticket, GenerationError("the model failed in mid-answer")))
        self._end(uid, OperationPhase.FAILED)

    def _record(self, ticket: Ticket, phase: OperationPhase) -> None:
        record(self._monitor, self._memory.usage(), ticket, phase)

    def _refuse(self, ticket: Ticket) -> None:
        """Nothing of ours runs that could give its memory back: others hold it, and this loop cannot wait for them."""
        self._waiting.remove(ticket)
        self._deliveries.append((ticket, OverloadedError("the memory is in use by others", retry_after_seconds=5)))
        self._record(ticket, OperationPhase.FAILED)

    def _fail_running(self) -> None:
        """The batch is in an unknown state: give up all of it and start afresh."""
        self._batch = None
        for uid in list(self._running):
            self._fail(uid)
        if self._make_batch is not None:
            self._batch = self._make_batch()

    def end_all(self) -> None:
        """The engine closes: every open stream is told, and all it held comes back. On the loop's thread."""
        stopped = [*self._waiting, *(running.ticket for running in self._running.values())]
        self._batch = self._make_batch = None
        for uid in list(self._running):
            self._end(uid, OperationPhase.CANCELLED)
        self._waiting.clear()
        self._deliveries += [(ticket, GenerationError("the server is stopping")) for ticket in stopped]
        self._emit()
