"""Monitors that are wrong in one way each."""

from __future__ import annotations

import time
from dataclasses import replace

from contracts.values.measurements import (
    AlertSeverity,
    AlertType,
    OperationMetrics,
    OperationPhase,
    PerformanceAlert,
    PerformanceStats,
)
from pensieve.core.errors import DeviceError
from tests.contracts.broken.register import Broken
from tests.contracts.in_memory.parts import InMemoryMonitor

broken = Broken[InMemoryMonitor]()


@broken.by("PM-2")
class CountsTwice(InMemoryMonitor):
    @property
    def num_recorded(self) -> int:
        return 2 * super().num_recorded


@broken.by("PM-3")
class RecordingCrashes(InMemoryMonitor):
    def record_operation(self, operation: OperationMetrics) -> None:
        raise DeviceError(f"no record of {operation.duration_ms} ms")


class _Distorted(InMemoryMonitor):
    def performance_stats(self) -> PerformanceStats:
        return self.distorted(super().performance_stats())

    def distorted(self, stats: PerformanceStats) -> PerformanceStats:
        return stats


@broken.by("PM-4")
class ReportsNegativeThroughput(_Distorted):
    def distorted(self, stats: PerformanceStats) -> PerformanceStats:
        return replace(stats, tokens_per_second=-1.0)


@broken.by("PM-4")
class ReportsNaN(_Distorted):
    def distorted(self, stats: PerformanceStats) -> PerformanceStats:
        return replace(stats, memory_utilization_percent=float("nan"))


@broken.by("PM-4")
class HasP95WithoutAverage(_Distorted):
    def distorted(self, stats: PerformanceStats) -> PerformanceStats:
        return replace(stats, p95_latency_ms=1.0)


@broken.by("PM-5")
class FiguresCrash(_Distorted):
    def distorted(self, stats: PerformanceStats) -> PerformanceStats:
        return replace(stats, average_latency_ms=1 / stats.requests_per_second)


class _AlwaysAlert(InMemoryMonitor):
    alerts: tuple[PerformanceAlert, ...] = ()

    def performance_alerts(self) -> tuple[PerformanceAlert, ...]:
        return (*super().performance_alerts(), *self.alerts)


_SLOW = PerformanceAlert(AlertType.LOW_THROUGHPUT, "tokens_per_second", 1.0, 2.0, AlertSeverity.WARNING)


@broken.by("PM-6")
class AlertsWithinTheThreshold(_AlwaysAlert):
    alerts = (replace(_SLOW, current_value=3.0),)


@broken.by("PM-6")
class AlertsWithInfo(_AlwaysAlert):
    alerts = (replace(_SLOW, severity=AlertSeverity.INFO),)


@broken.by("PM-7")
class AlertsTwice(_AlwaysAlert):
    alerts = (_SLOW, _SLOW)


@broken.by("PM-8")
class AlertsCrash(InMemoryMonitor):
    def performance_alerts(self) -> tuple[PerformanceAlert, ...]:
        return (self.alert(self.records[-1].duration_ms),)


@broken.by("PM-20")
class StartsWithErrors(_Distorted):
    def distorted(self, stats: PerformanceStats) -> PerformanceStats:
        return stats if self.records else replace(stats, error_rate_percent=100.0)


@broken.by("PM-21")
class AveragesEveryRecord(InMemoryMonitor):
    def ended(self) -> list[OperationMetrics]:
        return self.records


@broken.by("PM-21")
class TakesTheMedian(_Distorted):
    def distorted(self, stats: PerformanceStats) -> PerformanceStats:
        return replace(stats, p95_latency_ms=stats.average_latency_ms)


@broken.by("PM-22")
class CountsNoTokens(_Distorted):
    def distorted(self, stats: PerformanceStats) -> PerformanceStats:
        return replace(stats, tokens_per_second=0.0)


@broken.by("PM-23")
class CountsStartsInTheErrorRate(_Distorted):
    def distorted(self, stats: PerformanceStats) -> PerformanceStats:
        return replace(stats, error_rate_percent=stats.error_rate_percent / 2)


@broken.by("PM-24")
class NeverAlerts(InMemoryMonitor):
    def performance_alerts(self) -> tuple[PerformanceAlert, ...]:
        return super().performance_alerts()[:0]


@broken.by("PM-25")
class NeverClearsAlerts(InMemoryMonitor):
    def performance_alerts(self) -> tuple[PerformanceAlert, ...]:
        failed = any(record.phase is OperationPhase.FAILED for record in self.records)
        return (self.alert(100.0),) if failed else ()


@broken.by("PM-26")
class LosesRecords(InMemoryMonitor):
    def record_operation(self, operation: OperationMetrics) -> None:
        records = [*self.records, operation]
        time.sleep(1e-5)
        self.records = records
