"""PerformanceMonitor: what the server measures of itself (S1, S4)."""

from __future__ import annotations

from typing import Protocol

from contracts.clauses import ensures, raises_only, requires
from contracts.values.measurements import AlertSeverity, AlertType, OperationMetrics, PerformanceAlert, PerformanceStats


class PerformanceMonitor(Protocol):
    """Takes records, keeps a sliding window of them, tells figures and alerts. Callable from any thread."""

    @requires(
        "PM-1",
        "a record has no negative figure, and shares are 0 to 100",
        lambda operation: (
            operation.duration_ms >= 0
            and operation.tokens_generated >= 0
            and operation.memory_peak_bytes >= 0
            and 0 <= operation.device_share_percent <= 100
        ),
    )
    @ensures(
        "PM-2",
        "a record is counted, once",
        lambda self, old: self.num_recorded == old + 1,
        before=lambda self: self.num_recorded,
    )
    @raises_only("PM-3", "recording cannot fail")
    def record_operation(self, operation: OperationMetrics) -> None:
        """Keep one record."""

    @property
    def num_recorded(self) -> int:
        """Records taken since the start."""

    @ensures(
        "PM-4",
        "every figure is a number and none is negative, shares are 0 to 100, and no p95 is without an average",
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
    @raises_only("PM-5", "figures can always be asked for")
    def performance_stats(self) -> PerformanceStats:
        """Figures over the window that ends now."""

    @ensures(
        "PM-6",
        "an alert's value is beyond its threshold, and its severity is at least a warning",
        lambda result: all(_is_beyond(alert) and alert.severity is not AlertSeverity.INFO for alert in result),
    )
    @ensures(
        "PM-7",
        "one alert a metric",
        lambda result: len({alert.metric for alert in result}) == len(result),
    )
    @raises_only("PM-8", "alerts can always be asked for")
    def performance_alerts(self) -> tuple[PerformanceAlert, ...]:
        """The alerts that stand now: one fires when its metric passes its threshold, and clears when it comes back."""


def _is_beyond(alert: PerformanceAlert) -> bool:
    falls = alert.alert_type is AlertType.LOW_THROUGHPUT
    return alert.current_value < alert.threshold if falls else alert.current_value > alert.threshold
