"""Latency, throughput, errors and device use (S4, S6).

Implements `contracts.protocols.performance.PerformanceMonitor`.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from prometheus_client.metrics_core import Metric

from contracts.values.measurements import (
    AlertSeverity,
    AlertThresholds,
    AlertType,
    OperationMetrics,
    OperationPhase,
    PerformanceAlert,
    PerformanceStats,
    RequestTotals,
)
from contracts.values.vocabulary import MemoryUsage
from pensieve.engine.monitoring.histograms import RequestHistograms

WINDOW_SECONDS = 60.0


class SlidingWindowMonitor:
    """Keeps the records of the last `window_seconds`. Latency, rates and errors come from the records of generations
    that ended; the device's share is the time that its thread reported as busy. Callable from any thread.
    """

    def __init__(
        self,
        memory: Callable[[], MemoryUsage],
        *,
        thresholds: AlertThresholds | None = None,
        window_seconds: float = WINDOW_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._memory = memory
        self._thresholds = thresholds or AlertThresholds()
        self._window_seconds = window_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._started_at = clock()
        self._ended: deque[tuple[float, OperationMetrics]] = deque()
        self._busy: deque[tuple[float, float]] = deque()
        self._num_recorded = 0
        self._num_ended = dict.fromkeys((phase for phase in OperationPhase if phase.is_last), 0)
        self._completed_ms = self._first_token_ms = 0.0
        self._num_first_tokens = self._tokens_generated = 0
        self._histograms = RequestHistograms()

    @property
    def num_recorded(self) -> int:
        return self._num_recorded

    def record_operation(self, operation: OperationMetrics) -> None:
        self._histograms.note(operation)
        with self._lock:
            self._num_recorded += 1
            if operation.phase.is_last:
                self._ended.append((self._clock(), operation))
                self._drop_old(self._ended)
                self._count(operation)

    def _count(self, operation: OperationMetrics) -> None:
        self._num_ended[operation.phase] += 1
        self._tokens_generated += operation.tokens_generated
        if operation.phase is OperationPhase.COMPLETED:
            self._completed_ms += operation.duration_ms
        if operation.time_to_first_token_ms is not None:
            self._num_first_tokens += 1
            self._first_token_ms += operation.time_to_first_token_ms

    def histograms(self) -> Iterator[Metric]:
        """For Prometheus, by model."""
        return self._histograms.collect()

    def totals(self) -> RequestTotals:
        with self._lock:
            return RequestTotals(
                ended=dict(self._num_ended),
                completed_seconds=self._completed_ms / 1000,
                num_first_tokens=self._num_first_tokens,
                first_token_seconds=self._first_token_ms / 1000,
                tokens_generated=self._tokens_generated,
            )

    def record_busy(self, seconds: float) -> None:
        """Record that the device worked for the last `seconds`."""
        with self._lock:
            self._busy.append((self._clock(), seconds))
            self._drop_old(self._busy)

    def device_share_percent(self) -> float:
        with self._lock:
            self._drop_old(self._busy)
            busy = sum(seconds for _, seconds in self._busy)
            return min(100.0, 100.0 * busy / self._elapsed_seconds())

    def performance_stats(self) -> PerformanceStats:
        share, memory = self.device_share_percent(), self._memory()
        with self._lock:
            self._drop_old(self._ended)
            ended = [operation for _, operation in self._ended]
            elapsed = self._elapsed_seconds()
        latencies = sorted(operation.duration_ms for operation in ended if operation.phase is OperationPhase.COMPLETED)
        failed = sum(operation.phase is OperationPhase.FAILED for operation in ended)
        num_judged = len(latencies) + failed
        return PerformanceStats(
            requests_per_second=len(ended) / elapsed,
            tokens_per_second=sum(operation.tokens_generated for operation in ended) / elapsed,
            average_latency_ms=sum(latencies) / len(latencies) if latencies else 0.0,
            p95_latency_ms=nearest_rank(latencies, 95) if latencies else 0.0,
            memory_utilization_percent=100.0 * memory.total_bytes / memory.capacity_bytes,
            gpu_utilization_percent=share,
            error_rate_percent=100.0 * failed / num_judged if num_judged else 0.0,
            window_seconds=self._window_seconds,
        )

    def performance_alerts(self) -> tuple[PerformanceAlert, ...]:
        stats, limits = self.performance_stats(), self._thresholds
        alerts = [
            _above(AlertType.HIGH_LATENCY, "p95_latency_ms", stats.p95_latency_ms, limits.p95_latency_ms, math.inf),
            _above(
                AlertType.HIGH_MEMORY_USAGE,
                "memory_utilization_percent",
                stats.memory_utilization_percent,
                limits.memory_utilization_percent,
                limits.critical_memory_utilization_percent,
            ),
            _above(
                AlertType.HIGH_ERROR_RATE,
                "error_rate_percent",
                stats.error_rate_percent,
                limits.error_rate_percent,
                limits.critical_error_rate_percent,
            ),
        ]
        if stats.tokens_per_second and stats.tokens_per_second < limits.tokens_per_second:
            alerts.append(
                PerformanceAlert(
                    AlertType.LOW_THROUGHPUT,
                    "tokens_per_second",
                    stats.tokens_per_second,
                    limits.tokens_per_second,
                    AlertSeverity.WARNING,
                )
            )
        return tuple(alert for alert in alerts if alert is not None)

    def _elapsed_seconds(self) -> float:
        return max(1e-3, min(self._window_seconds, self._clock() - self._started_at))

    def _drop_old(self, entries: deque[tuple[float, OperationMetrics]] | deque[tuple[float, float]]) -> None:
        oldest = self._clock() - self._window_seconds
        while entries and entries[0][0] < oldest:
            entries.popleft()


def nearest_rank(ascending: list[float], percent: float) -> float:
    """The smallest value with at least `percent` of all values at or below it."""
    return ascending[math.ceil(percent / 100 * len(ascending)) - 1]


def _above(
    alert_type: AlertType, metric: str, value: float, threshold: float, critical_threshold: float
) -> PerformanceAlert | None:
    if value <= threshold:
        return None
    severity = AlertSeverity.CRITICAL if value > critical_threshold else AlertSeverity.WARNING
    return PerformanceAlert(alert_type, metric, value, threshold, severity)
