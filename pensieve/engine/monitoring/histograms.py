"""How requests' times are distributed, by model, for Prometheus (U8)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import prometheus_client
from prometheus_client.metrics_core import Metric

from contracts.values.measurements import OperationMetrics, OperationPhase

_REQUEST_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 60, 120, 300, 600, 1800)
"""From an answer out of the cache to a day's longest prompt on a CPU."""
_QUEUE_SECONDS: Final = (0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_INTERVAL_SECONDS: Final = (0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
"""From tokens of one speculative pass, and 1,000 tokens/s, to answers that stand still beside a long prefill."""

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # each would double its series


class RequestHistograms:
    """The only label is the name of a model that this server serves."""

    def __init__(self) -> None:
        self._first_token = _histogram(
            "pensieve_time_to_first_token_seconds",
            "Time from the acceptance of a request to its first token.",
            _REQUEST_SECONDS,
        )
        self._interval = _histogram(
            "pensieve_token_interval_seconds",
            "Time between two tokens of an answer. Tokens of one speculative pass come together.",
            _INTERVAL_SECONDS,
        )
        self._queue = _histogram(
            "pensieve_queue_seconds",
            "Time from the acceptance of a request until its prompt begins to be computed.",
            _QUEUE_SECONDS,
        )
        self._duration = _histogram(
            "pensieve_request_duration_seconds",
            "Time from the acceptance of a request to its completion.",
            _REQUEST_SECONDS,
        )

    def note(self, operation: OperationMetrics) -> None:
        """Callable from any thread."""
        model, seconds = operation.model, operation.duration_ms / 1000
        intervals = self._interval.labels(model)
        for interval in operation.token_intervals_seconds:
            intervals.observe(interval)
        if operation.phase is OperationPhase.STARTED:
            self._queue.labels(model).observe(seconds)
        if operation.phase is OperationPhase.COMPLETED:
            self._duration.labels(model).observe(seconds)
        if operation.phase.is_last and operation.time_to_first_token_ms is not None:
            self._first_token.labels(model).observe(operation.time_to_first_token_ms / 1000)

    def collect(self) -> Iterator[Metric]:
        for histogram in (self._first_token, self._interval, self._queue, self._duration):
            yield from histogram.collect()


def _histogram(name: str, help_text: str, buckets: Sequence[float]) -> prometheus_client.Histogram:
    return prometheus_client.Histogram(name, help_text, ["model"], buckets=buckets, registry=None)
