"""The loop of the one thread that owns MLX: receive, admit, run one step, emit, store. Only this thread computes.

An exception fails one request where it is that request's. Where the batch's state is unknown, it fails all that run,
and a new batch is made. `pensieve.engine.loop.faults` decides when the loop cannot go on.
"""

from __future__ import annotations

from collections import deque

from contracts.values.measurements import OperationPhase
from pensieve.core.errors import RETRY_AFTER_RESTART_SECONDS, GenerationError, OverloadedError, PensieveError
from pensieve.core.scheduling.start_order import start_in_order
from pensieve.device.device import device_info
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.loop.admission import reserve, waits_for_prefill
from pensieve.engine.loop.bookkeeping import Bookkeeping
from pensieve.engine.loop.faults import Faults, LoopFailedError
from pensieve.engine.loop.mailbox import PAUSE_SECONDS, Mailbox
from pensieve.engine.loop.outbox import Outbox
from pensieve.engine.loop.parts import LoopParts
from pensieve.engine.loop.progress import LoopProgress
from pensieve.engine.loop.rows import Rows
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.requests.ticket import Ticket


def failed_error() -> PensieveError:
    """What the streams of a model that failed get. Clients may try again."""
    return OverloadedError(
        "the model failed and is being loaded again", retry_after_seconds=RETRY_AFTER_RESTART_SECONDS
    )


class GenerationLoop:
    """Runs every ticket to exactly one end: finished, cancelled or failed.

    `submit`, `stop`, `progress` and the mailbox may be used from any thread; the rest runs on the thread that calls
    `run`.
    """

    def __init__(self, parts: LoopParts, memory: DeviceMemory, monitor: SlidingWindowMonitor, model: str) -> None:
        self.mailbox = Mailbox(PAUSE_SECONDS[device_info().backend])
        self.progress = LoopProgress()
        self._parts = parts
        self._memory = memory
        self._faults = Faults()
        self._books = Bookkeeping(memory, monitor, self._faults, model)
        self._outbox = Outbox(parts.deliver, self._faults)
        self._waiting: deque[Ticket] = deque()
        self._stopping = False
        self.rows = Rows(parts, self._outbox, self._books, self._faults)

    def submit(self, ticket: Ticket) -> None:
        self.mailbox.put(lambda: self._waiting.append(ticket))

    def stop(self) -> None:
        def mark() -> None:
            self._stopping = True

        self.mailbox.put(mark)

    def run(self) -> None:
        """Run until `stop`. However it ends, no stream is open and no request's memory is reserved afterwards.

        Raises:
            LoopFailedError: it cannot go on. Exceptions that are no `Exception` end it too.
        """
        try:
            while not self._stopping:
                self._turn()
        except BaseException:
            self._end_all(failed_error())
            raise
        self._end_all(GenerationError("the server is stopping"))

    def _turn(self) -> None:
        self.mailbox.drain(idle=not (self.rows.running or self._waiting or self._outbox))
        try:
            self._drop_cancelled()
            self._admit()
            self.rows.step(self.progress)
        except LoopFailedError:
            raise
        except Exception:
            self._note_failed_step()
            self.rows.restart()
        self._emit()
        self.rows.stores.flush()
        with self._faults.contained("relieving the pressure on memory"):
            self._relieve_pressure()

    def _note_failed_step(self) -> None:
        """Without running requests, it was not the fault of one of them."""
        running = self.rows.running.values()
        if running:
            requests = frozenset(each.ticket.prompt.fingerprint for each in running)
            self._faults.fail(f"a generation step, and with it {len(running)} requests,", requests)
        else:
            self._faults.count("a generation step without requests")

    def _drop_cancelled(self) -> None:
        for ticket in [ticket for ticket in self._waiting if ticket.stream.is_abandoned]:
            self._waiting.remove(ticket)
            self._books.record(ticket, OperationPhase.CANCELLED)
        cancelled = [uid for uid, running in self.rows.running.items() if running.ticket.stream.is_abandoned]
        for uid in cancelled:
            self.rows.remove(uid)
            self.rows.end(uid, OperationPhase.CANCELLED)
        self.rows.stores.flush()  # before the next request starts: it may be a retry of this one

    def _admit(self) -> None:
        start_in_order(
            list(self._waiting),
            has_place=self._has_place,
            waits_for_prefill=self._waits_for_prefill,
            start=self._start,
        )

    def _has_place(self) -> bool:
        batch = self.rows.batch
        return batch is not None and len(self.rows.running) < batch.max_size

    def _waits_for_prefill(self, ticket: Ticket) -> bool:
        batch = self.rows.batch
        with self._faults.contained("sharing a prefill"):
            running = self.rows.running.values()
            return batch is not None and waits_for_prefill(ticket, running, self._parts.prompt_cache, batch)
        return False

    def _start(self, ticket: Ticket) -> bool:
        """Whether the tickets after this one may start too."""
        try:
            return self._start_or_refuse(ticket)
        except Exception:
            self._refuse(ticket, GenerationError("the model could not start the answer"))
            self._faults.fail("admitting a request", ticket.prompt.fingerprint)
        return True

    def _start_or_refuse(self, ticket: Ticket) -> bool:
        """False if it waits for memory."""
        batch = self.rows.batch
        if batch is None:
            return False
        room = reserve(ticket, self.rows.running.values(), self._parts.sizes, self._parts.prompt_cache)
        if room is None and self.rows.running:
            return False
        if room is None:
            self._parts.relief.note_refusal()
            # No request of this loop could free memory by ending.
            self._refuse(ticket, OverloadedError("other models or processes are using the memory"))
            return True
        reservation, match = room
        try:
            self.rows.start(batch, ticket, reservation, match)
        except BaseException:
            self._memory.release(reservation)
            raise
        self._waiting.remove(ticket)
        return True

    def _refuse(self, ticket: Ticket, error: PensieveError) -> None:
        self._waiting.remove(ticket)
        self._outbox.add(ticket.stream, [error])
        self.progress.note_refusal()
        self._books.record(ticket, OperationPhase.FAILED)

    def _emit(self) -> None:
        streams = self._outbox.flush()
        try:
            self.rows.fail_undelivered(streams)
        except Exception:
            self._faults.log("removing requests without a stream, and with it the others,")
            self.rows.restart()

    def _relieve_pressure(self) -> None:
        if self.rows.batch is not None:
            self._parts.relief.update()
            self.rows.batch.chunk_tokens = self._parts.relief.chunk_tokens

    def _end_all(self, error: PensieveError) -> None:
        """End every open stream with an error and free everything."""
        tickets = [*self._waiting, *(running.ticket for running in self.rows.running.values())]
        self.rows.close()
        self._waiting.clear()
        for ticket in tickets:
            self._outbox.add(ticket.stream, [error])
        with self._faults.contained("delivering the last events"):  # or the event loop ends these streams
            self._outbox.flush()
