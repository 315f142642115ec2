"""Records what requests do, and releases their memory. A fault here is logged and does not affect any request."""

from __future__ import annotations

from contracts.values.measurements import OperationPhase
from contracts.values.vocabulary import BufferUsage
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.loop.faults import Faults
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.monitoring.record import record
from pensieve.engine.requests.running import RunningRequest
from pensieve.engine.requests.ticket import Ticket


class Bookkeeping:
    """`model` is the name under which the requests are counted."""

    def __init__(self, memory: DeviceMemory, monitor: SlidingWindowMonitor, faults: Faults, model: str) -> None:
        self._memory = memory
        self._monitor = monitor
        self._faults = faults
        self._model = model

    def note_step(self, seconds: float, kv_cache_bytes: int) -> None:
        with self._faults.contained("measuring a step"):
            self._monitor.record_busy(seconds)
            self._memory.note_measured(self, BufferUsage.KV_CACHE, kv_cache_bytes)

    def record(self, ticket: Ticket, phase: OperationPhase) -> None:
        with self._faults.contained("measuring a request"):
            record(self._monitor, self._memory.usage(), ticket.progress, phase, self._model)

    def end(self, running: RunningRequest, phase: OperationPhase, *, is_last: bool) -> None:
        """Release a request's memory, and MLX's buffers after the last one."""
        with self._faults.contained("releasing a request's memory"):
            self._memory.release(running.reservation)
            if is_last:
                self._memory.note_measured(self, BufferUsage.KV_CACHE, 0)
                self._memory.reclaim()
        self.record(running.ticket, phase)
