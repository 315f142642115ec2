import pytest

from contracts.values.measurements import AlertSeverity, AlertThresholds, AlertType, OperationMetrics, OperationPhase
from contracts.values.vocabulary import BufferUsage
from pensieve.device.memory.ledger import Ledger
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor, nearest_rank


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ended(
    duration_ms: float = 100.0, tokens: int = 10, phase: OperationPhase = OperationPhase.COMPLETED
) -> OperationMetrics:
    return OperationMetrics(phase, duration_ms, tokens, 0, 0.0, success=phase is OperationPhase.COMPLETED)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(clock: Clock) -> SlidingWindowMonitor:
    return SlidingWindowMonitor(Ledger(1000).usage, clock=clock)


def test_rates_are_per_second_of_elapsed_time(monitor: SlidingWindowMonitor, clock: Clock) -> None:
    clock.now += 10
    for _ in range(5):
        monitor.record_operation(ended(tokens=20))
    stats = monitor.performance_stats()
    assert stats.requests_per_second == pytest.approx(0.5)
    assert stats.tokens_per_second == pytest.approx(10)


def test_records_older_than_the_window_do_not_count(monitor: SlidingWindowMonitor, clock: Clock) -> None:
    monitor.record_operation(ended())
    monitor.record_busy(30.0)
    clock.now += 61
    stats = monitor.performance_stats()
    assert (stats.requests_per_second, stats.p95_latency_ms, stats.gpu_utilization_percent) == (0, 0, 0)
    assert monitor.num_recorded == 1


def test_the_device_share_is_its_busy_time(monitor: SlidingWindowMonitor, clock: Clock) -> None:
    clock.now += 20
    monitor.record_busy(5.0)
    assert monitor.device_share_percent() == pytest.approx(25)


def test_progress_records_are_only_counted(monitor: SlidingWindowMonitor, clock: Clock) -> None:
    clock.now += 1
    monitor.record_operation(ended(phase=OperationPhase.PROGRESS))
    assert monitor.performance_stats().requests_per_second == 0
    assert monitor.num_recorded == 1


def test_a_cancellation_is_not_an_error(monitor: SlidingWindowMonitor) -> None:
    monitor.record_operation(ended(phase=OperationPhase.CANCELLED))
    assert monitor.performance_stats().error_rate_percent == 0


def test_the_p95_is_taken_by_nearest_rank() -> None:
    assert nearest_rank([float(number) for number in range(1, 101)], 95) == 95
    assert nearest_rank([7.0], 95) == 7


def test_alerts_fire_by_severity_and_clear(clock: Clock) -> None:
    memory = Ledger(1000)
    monitor = SlidingWindowMonitor(memory.usage, thresholds=AlertThresholds(p95_latency_ms=50), clock=clock)
    clock.now += 1
    held = memory.reserve(990, BufferUsage.KV_CACHE)
    monitor.record_operation(ended(duration_ms=51))
    monitor.record_operation(ended(phase=OperationPhase.FAILED))
    alerts = {alert.alert_type: alert.severity for alert in monitor.performance_alerts()}
    assert alerts == {
        AlertType.HIGH_LATENCY: AlertSeverity.WARNING,
        AlertType.HIGH_MEMORY_USAGE: AlertSeverity.CRITICAL,
        AlertType.HIGH_ERROR_RATE: AlertSeverity.CRITICAL,
    }
    memory.release(held)
    clock.now += 61
    assert monitor.performance_alerts() == ()


def test_low_throughput_alerts_only_if_a_minimum_is_set(clock: Clock) -> None:
    monitor = SlidingWindowMonitor(Ledger(1000).usage, thresholds=AlertThresholds(tokens_per_second=5), clock=clock)
    clock.now += 10
    monitor.record_operation(ended(tokens=10))
    assert [alert.alert_type for alert in monitor.performance_alerts()] == [AlertType.LOW_THROUGHPUT]
