"""PerformanceMonitor: the server's own metrics (S1, S4)."""

from __future__ import annotations

from typing import Protocol

from contracts.clauses import ensures, raises_only, requires
from contracts.values.measurements import AlertSeverity, AlertType, OperationMetrics, PerformanceAlert, PerformanceStats


class PerformanceMonitor(Protocol):
    """Keeps a sliding window of records and computes figures and alerts from it. Callable from any thread."""

    @requires(
        "PM-1",
        "a record has no negative figure, and its percentages are 0 to 100",
        lambda operation: (
            operation.duration_ms >= 0
            and operation.tokens_generated >= 0
            and operation.memory_peak_bytes >= 0
            and 0 <= operation.device_share_percent <= 100
        ),
    )
    @ensures(
        "PM-2",
        "a record is counted once",
        lambda self, old: self.num_recorded == old + 1,
        before=lambda self: self.num_recorded,
    )
    @raises_only("PM-3", "recording never fails")
    def record_operation(self, operation: OperationMetrics) -> None: ...

    @property
    def num_recorded(self) -> int:
        """The number of records since the start."""

    @ensures(
        "PM-4",
        "every figure is a non-negative number, percentages are 0 to 100, and there is no p95 without an average",
        lambda result: (
            result.requests_per_second >= 0
            and result.tokens_per_second >= 0
            and result.average_latency_ms >= 0
            and result.p95_latency_ms >= 0
            and result.memory_utilization_percent >= 0
            and 0 <= result.gpu_utilization_percent <= 100
            and 0 <= result.error_rate_percent <= 100
            and (result.p95_latency_ms == 0 or result.average_latency_ms > 0)
        ),
    )
    @raises_only("PM-5", "reading the figures never fails")
    def performance_stats(self) -> PerformanceStats:
        """Figures over the window that ends now."""

    @ensures(
        "PM-6",
        "an alert's value is beyond its threshold, and its severity is at least WARNING",
        lambda result: all(_is_beyond(alert) and alert.severity is not AlertSeverity.INFO for alert in result),
    )
    @ensures(
        "PM-7",
        "there is at most one alert per metric",
        lambda result: len({alert.metric for alert in result}) == len(result),
    )
    @raises_only("PM-8", "reading the alerts never fails")
    def performance_alerts(self) -> tuple[PerformanceAlert, ...]:
        """The active alerts: one fires when its metric passes its threshold, and clears when the metric returns."""


def _is_beyond(alert: PerformanceAlert) -> bool:
    falls = alert.alert_type is AlertType.LOW_THROUGHPUT
    return alert.current_value < alert.threshold if falls else alert.current_value > alert.threshold
