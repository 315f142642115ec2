"""Turns one phase of a request (started, progress, ended) into an operation record for the monitor (S6)."""

from __future__ import annotations

import time
from typing import Protocol

from contracts.values.measurements import OperationMetrics, OperationPhase
from contracts.values.vocabulary import MemoryUsage
from pensieve.engine.requests.progress import AnswerProgress


class _Recorder(Protocol):
    def record_operation(self, operation: OperationMetrics) -> None: ...

    def device_share_percent(self) -> float: ...


def record(
    monitor: _Recorder, memory: MemoryUsage, progress: AnswerProgress, phase: OperationPhase, model: str
) -> None:
    now = time.monotonic()
    first = progress.first_token_at
    monitor.record_operation(
        OperationMetrics(
            phase=phase,
            duration_ms=1000 * (now - progress.accepted_at),
            tokens_generated=progress.output_tokens,
            memory_peak_bytes=memory.peak_bytes,
            device_share_percent=monitor.device_share_percent(),
            success=phase not in (OperationPhase.FAILED, OperationPhase.CANCELLED),
            time_to_first_token_ms=None if first is None else 1000 * (first - progress.accepted_at),
            model=model,
            token_intervals_seconds=progress.take_intervals(),
        )
    )
