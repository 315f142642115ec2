"""A minimal memory manager, monitor and request handler that keep their contracts."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing

from contracts.protocols.inference import InferenceModel
from contracts.protocols.memory import CompiledKernel
from contracts.values.generation import GenerationEvent, GenerationFinished, GenerationStarted, TextGenerated
from contracts.values.measurements import (
    AlertSeverity,
    AlertType,
    OperationMetrics,
    OperationPhase,
    PerformanceAlert,
    PerformanceStats,
)
from contracts.values.vocabulary import (
    BufferUsage,
    GenerationRequest,
    KernelSource,
    MemoryUsage,
    MessageEvent,
    Reservation,
)
from pensieve.core.errors import InsufficientMemoryError, PensieveError

CAPACITY_BYTES = 1200


class InMemoryMemory:
    def __init__(self) -> None:
        self.capacity_bytes = CAPACITY_BYTES
        self.held: dict[int, Reservation] = {}
        self.kernels: dict[KernelSource, CompiledKernel] = {}
        self.numbers = itertools.count(1)
        self.lock = threading.RLock()
        self.peak_reserved_bytes = 0

    def reserved_bytes(self, usage: BufferUsage | None = None) -> int:
        with self.lock:
            return sum(each.num_bytes for each in self.held.values() if usage in (None, each.usage))

    def holds(self, reservation: Reservation) -> bool:
        return reservation.number in self.held

    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        with self.lock:
            available = self.capacity_bytes - self.reserved_bytes()
            if num_bytes > available:
                raise InsufficientMemoryError(usage.value, num_bytes, available)
            reservation = Reservation(next(self.numbers), num_bytes, usage)
            self.held[reservation.number] = reservation
            self.peak_reserved_bytes = max(self.peak_reserved_bytes, self.reserved_bytes())
            return reservation

    def release(self, reservation: Reservation) -> None:
        with self.lock:
            del self.held[reservation.number]

    def compile_kernel(self, source: KernelSource) -> CompiledKernel:
        return self.kernels.setdefault(source, lambda numbers: numbers)

    def usage(self) -> MemoryUsage:
        reserved = self.reserved_bytes()
        return MemoryUsage(0, 0, 0, reserved, reserved, self.capacity_bytes)

    def reclaim(self) -> int:
        return 0


class InMemoryMonitor:
    """A monitor whose window never ends."""

    threshold_percent = 5.0

    def __init__(self) -> None:
        self.records: list[OperationMetrics] = []

    @property
    def num_recorded(self) -> int:
        return len(self.records)

    def record_operation(self, operation: OperationMetrics) -> None:
        self.records.append(operation)

    def ended(self) -> list[OperationMetrics]:
        return [record for record in self.records if record.phase.is_last]

    def performance_stats(self) -> PerformanceStats:
        ended = self.ended()
        latencies = sorted(record.duration_ms for record in ended)
        num_failed = sum(record.phase is OperationPhase.FAILED for record in ended)
        return PerformanceStats(
            requests_per_second=len(ended) / 60,
            tokens_per_second=sum(record.tokens_generated for record in ended) / 60,
            average_latency_ms=sum(latencies) / len(latencies) if latencies else 0.0,
            p95_latency_ms=latencies[math.ceil(0.95 * len(latencies)) - 1] if latencies else 0.0,
            memory_utilization_percent=10.0,
            gpu_utilization_percent=10.0,
            error_rate_percent=100.0 * num_failed / len(ended) if ended else 0.0,
            window_seconds=60.0,
        )

    def performance_alerts(self) -> tuple[PerformanceAlert, ...]:
        rate = self.performance_stats().error_rate_percent
        return (self.alert(rate),) if rate > self.threshold_percent else ()

    def alert(self, rate: float) -> PerformanceAlert:
        return PerformanceAlert(
            AlertType.HIGH_ERROR_RATE, "error_rate_percent", rate, self.threshold_percent, AlertSeverity.WARNING
        )


class InMemoryHandler:
    """Sends one text block with a ping at its start, and an error event for failures after the first event."""

    def __init__(self, model: InferenceModel) -> None:
        self.model = model
        self.num_messages = 0

    async def can_handle_request(self, request: GenerationRequest) -> bool:
        return bool(request.messages)

    async def handle_request(self, request: GenerationRequest, model_name: str) -> AsyncGenerator[MessageEvent, None]:
        is_started = False
        try:
            async with aclosing(self.model.generate(request)) as events:
                async for event in events:
                    for message_event in self.message_events(event, model_name):
                        is_started = True
                        yield message_event
        except PensieveError as error:
            if not is_started:
                raise
            yield {"type": "error", "error": {"type": "api_error", "message": str(error)}}

    def message_events(self, event: GenerationEvent, model_name: str) -> list[MessageEvent]:
        if isinstance(event, GenerationStarted):
            return [*self.opening(event.input_tokens, model_name), {"type": "ping"}]
        if isinstance(event, GenerationFinished):
            return self.ending(event)
        if not isinstance(event, TextGenerated):
            raise TypeError(f"expected only text, got {type(event).__name__}")
        delta = {"type": "text_delta", "text": event.text}
        return [{"type": "content_block_delta", "index": 0, "delta": delta}]

    def opening(self, input_tokens: int, model_name: str) -> list[MessageEvent]:
        message: dict[str, object] = {
            "id": self.message_id(),
            "type": "message",
            "role": "assistant",
            "model": model_name,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": input_tokens, "output_tokens": 0},
        }
        block = {"type": "text", "text": ""}
        return [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
        ]

    def message_id(self) -> str:
        self.num_messages += 1
        return f"msg_{self.num_messages}"

    def ending(self, event: GenerationFinished) -> list[MessageEvent]:
        delta = {"stop_reason": event.stop_reason.value, "stop_sequence": event.stop_sequence}
        usage = {"input_tokens": event.usage.input_tokens, "output_tokens": event.usage.output_tokens}
        return [
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": delta, "usage": usage},
            {"type": "message_stop"},
        ]
