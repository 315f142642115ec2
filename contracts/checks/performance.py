"""`check_performance_monitor`: checks any PerformanceMonitor against its clauses and the promises below."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from contracts.checked import checked
from contracts.checks.promises import expect, promise, promised
from contracts.protocols.performance import PerformanceMonitor
from contracts.values.measurements import AlertThresholds, AlertType, OperationMetrics, OperationPhase

FRESH = promise("PM-20", "a monitor without records reports no errors, no latency, and no alerts about either")
LATENCY = promise("PM-21", "latency covers the generations that ended, and 95 of 100 of them are within its p95")
RATES = promise("PM-22", "a generation shows in the requests and tokens per second")
ERRORS = promise("PM-23", "the error rate is the share of failures among completed and failed generations")
FIRES = promise("PM-24", "an alert fires when its metric passes its threshold")
CLEARS = promise("PM-25", "an alert clears when its metric returns within its threshold")
THREADS = promise("PM-26", "concurrent records by several threads are all counted")

PERFORMANCE_PROMISES = (FRESH, LATENCY, RATES, ERRORS, FIRES, CLEARS, THREADS)

NUM_THREADS = 4
RECORDS_PER_THREAD = 50


def check_performance_monitor(
    make: Callable[[], PerformanceMonitor], *, thresholds: AlertThresholds | None = None
) -> None:
    """Check what `make` returns against the contract of PerformanceMonitor; it takes less than one window.

    `thresholds` are those of the implementation, if they are not the defaults.

    Raises:
        ContractViolation: a clause or promise does not hold.
    """
    for check in (_check_fresh, _check_latency, _check_rates, _check_errors):
        check(checked(PerformanceMonitor, make()))
    _check_alerts(checked(PerformanceMonitor, make()), (thresholds or AlertThresholds()).error_rate_percent)
    # Unchecked, because records by other threads would change the count between a call and its clause.
    _check_threads(make())


def _check_fresh(monitor: PerformanceMonitor) -> None:
    with promised(FRESH):
        stats = monitor.performance_stats()
        expect(FRESH, monitor.num_recorded == 0)
        expect(FRESH, stats.average_latency_ms == stats.p95_latency_ms == stats.error_rate_percent == 0)
        expect(FRESH, not {alert.alert_type for alert in monitor.performance_alerts()} & _GENERATION_ALERTS)


def _check_latency(monitor: PerformanceMonitor) -> None:
    """Durations of 10, 20 … 200 ms: however the percentile is interpolated, p95 is between 190 and 200."""
    with promised(LATENCY):
        for number in range(1, 21):
            _record_generation(monitor, duration_ms=10.0 * number)
        stats = monitor.performance_stats()
        expect(LATENCY, math.isclose(stats.average_latency_ms, 105.0), "the average is wrong")
        expect(LATENCY, 190.0 <= stats.p95_latency_ms <= 200.0, "the p95 is wrong")


def _check_rates(monitor: PerformanceMonitor) -> None:
    with promised(RATES):
        _record_generation(monitor)
        stats = monitor.performance_stats()
        expect(RATES, stats.requests_per_second > 0 and stats.tokens_per_second > 0)


def _check_errors(monitor: PerformanceMonitor) -> None:
    with promised(ERRORS):
        for phase in (OperationPhase.COMPLETED,) * 3 + (OperationPhase.FAILED,):
            _record_generation(monitor, phase)
        expect(ERRORS, math.isclose(monitor.performance_stats().error_rate_percent, 25.0))


def _check_alerts(monitor: PerformanceMonitor, threshold_percent: float) -> None:
    num_failures = 10
    with promised(FIRES):
        for _ in range(num_failures):
            _record_generation(monitor, OperationPhase.FAILED)
        expect(FIRES, _has_error_alert(monitor))
    with promised(CLEARS):
        for _ in range(math.ceil(100 * num_failures / threshold_percent)):
            _record_generation(monitor)
        expect(CLEARS, not _has_error_alert(monitor))


def _check_threads(monitor: PerformanceMonitor) -> None:
    def record() -> None:
        for _ in range(RECORDS_PER_THREAD):
            monitor.record_operation(_metrics(OperationPhase.COMPLETED, 1.0))
            monitor.performance_stats()

    with promised(THREADS), ThreadPoolExecutor(NUM_THREADS) as threads:
        for outcome in [threads.submit(record) for _ in range(NUM_THREADS)]:
            outcome.result()
        expect(THREADS, monitor.num_recorded == NUM_THREADS * RECORDS_PER_THREAD, "records were lost")


_GENERATION_ALERTS = {AlertType.HIGH_LATENCY, AlertType.HIGH_ERROR_RATE}


def _has_error_alert(monitor: PerformanceMonitor) -> bool:
    return any(alert.alert_type is AlertType.HIGH_ERROR_RATE for alert in monitor.performance_alerts())


def _record_generation(
    monitor: PerformanceMonitor, end: OperationPhase = OperationPhase.COMPLETED, duration_ms: float = 100.0
) -> None:
    """The start and the end of a generation; only its end has the duration and the outcome."""
    monitor.record_operation(_metrics(OperationPhase.STARTED, 0.0))
    monitor.record_operation(_metrics(end, duration_ms))


def _metrics(phase: OperationPhase, duration_ms: float) -> OperationMetrics:
    return OperationMetrics(
        phase=phase,
        duration_ms=duration_ms,
        tokens_generated=10 if phase.is_last else 0,
        memory_peak_bytes=1,
        device_share_percent=50.0,
        success=phase is not OperationPhase.FAILED,
    )
