"""The server's measurements for Prometheus (S4, U8), collected when they are scraped.

Names follow Prometheus's conventions: base units in the name, and `_total` for counters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from contracts.values.measurements import AlertType, PressureStep
from contracts.values.vocabulary import BufferUsage
from pensieve import __version__
from pensieve.api.server_state import ServerState


def exposition(state: ServerState, accept: str) -> tuple[bytes, str]:
    """The metrics in the format that the `Accept` header prefers, and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServerCollector(state))
    try:
        encode, content_type = choose_encoder(accept)
    except (ValueError, TypeError):  # it asks for a version that is none
        encode, content_type = choose_encoder("")
    return encode(registry), content_type


class ServerCollector(Collector):
    """Collects one metric family per measurement."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("pensieve", "The server.", value={"version": __version__})
        yield from self._requests()
        yield from self._tokens()
        yield from self._rates()
        yield from self._memory()
        yield from self._pressure()
        yield from self._cache_writes()
        yield from self._speculation()
        yield from self._models()
        yield self._alerts()

    def _requests(self) -> Iterator[Metric]:
        totals = self._state.monitor.totals()
        yield GaugeMetricFamily(
            "pensieve_requests_active", "Requests that are running or waiting.", value=self._state.models.num_active
        )
        ended = CounterMetricFamily("pensieve_requests", "Finished requests by outcome.", labels=["outcome"])
        for outcome, number in totals.ended.items():
            ended.add_metric([outcome.value.removeprefix("generation_")], number)
        yield ended
        by_key = CounterMetricFamily("pensieve_key_requests", "Requests by the name of their key.", labels=["key"])
        for name, number in self._state.requests_by_key.items():
            by_key.add_metric([name], number)
        yield by_key
        yield from self._state.monitor.histograms()

    def _tokens(self) -> Iterator[Metric]:
        prompts = self._state.models.prompt_tokens()
        family = CounterMetricFamily(
            "pensieve_prompt_tokens", "Prompt tokens by the source of their keys and values.", labels=["source"]
        )
        family.add_metric(["computed"], prompts.computed)
        family.add_metric(["memory"], prompts.read - prompts.from_disk)
        family.add_metric(["disk"], prompts.from_disk)
        yield family
        yield CounterMetricFamily(
            "pensieve_generated_tokens", "Generated tokens.", value=self._state.monitor.totals().tokens_generated
        )

    def _rates(self) -> Iterator[Metric]:
        stats = self._state.monitor.performance_stats()
        window = f"over the last {stats.window_seconds:.0f} seconds"
        yield GaugeMetricFamily(
            "pensieve_generated_tokens_per_second", f"Generated tokens per second {window}.", stats.tokens_per_second
        )
        yield GaugeMetricFamily(
            "pensieve_request_duration_p95_seconds",
            f"95th percentile of request durations {window}.",
            stats.p95_latency_ms / 1000,
        )
        yield GaugeMetricFamily(
            "pensieve_device_busy_ratio",
            f"Share of time that the device was busy {window}.",
            stats.gpu_utilization_percent / 100,
        )
        yield GaugeMetricFamily(
            "pensieve_error_ratio",
            f"Share of failed requests {window}.",
            stats.error_rate_percent / 100,
        )

    def _memory(self) -> Iterator[Metric]:
        memory = self._state.models.memory
        usage = memory.usage()
        yield GaugeMetricFamily("pensieve_memory_limit_bytes", "Memory that the server may use.", usage.capacity_bytes)
        yield GaugeMetricFamily(
            "pensieve_memory_used_bytes", "Memory in use, measured by the allocator.", usage.total_bytes
        )
        yield GaugeMetricFamily("pensieve_memory_peak_bytes", "Highest memory use since the start.", usage.peak_bytes)
        by_kind = GaugeMetricFamily("pensieve_memory_kind_bytes", "Memory in use, by kind.", labels=["kind"])
        by_kind.add_metric(["model_weights"], usage.model_weights_bytes)
        by_kind.add_metric(["kv_cache"], usage.kv_cache_bytes)
        by_kind.add_metric(["stored_prompts"], usage.stored_prompts_bytes)
        by_kind.add_metric(["activation"], usage.activation_bytes)
        yield by_kind
        reserved = GaugeMetricFamily(
            "pensieve_memory_reserved_bytes", "Reserved memory by purpose.", labels=["purpose"]
        )
        for purpose in BufferUsage:
            reserved.add_metric([purpose.value], memory.reserved_bytes(purpose))
        yield reserved
        yield GaugeMetricFamily(
            "pensieve_memory_reserved_peak_bytes",
            "Highest reserved memory since the start.",
            memory.peak_reserved_bytes,
        )

    def _pressure(self) -> Iterator[Metric]:
        pressure = self._state.models.memory_pressure()
        active = GaugeMetricFamily(
            "pensieve_memory_pressure_step_active",
            "1 for a step against memory pressure that is active, else 0.",
            labels=["step"],
        )
        times = CounterMetricFamily(
            "pensieve_memory_pressure_steps", "How often each step against memory pressure was taken.", labels=["step"]
        )
        for step in PressureStep:
            active.add_metric([step.value], float(step in pressure.active))
            times.add_metric([step.value], pressure.times.get(step, 0))
        yield active
        yield times

    def _cache_writes(self) -> Iterator[Metric]:
        writes = self._state.cache_writes()
        yield GaugeMetricFamily(
            "pensieve_cache_written_day_bytes", "What the prompt cache wrote to disk in 24 hours.", writes.day_bytes
        )
        yield GaugeMetricFamily(
            "pensieve_cache_writes_limit_bytes",
            "What the prompt cache may write to disk in 24 hours.",
            math.inf if writes.limit_bytes is None else writes.limit_bytes,
        )
        yield CounterMetricFamily(
            "pensieve_cache_skipped_bytes", "What it left out to keep to this limit.", writes.skipped_bytes
        )

    def _speculation(self) -> Iterator[Metric]:
        counts = self._state.models.speculation_counts()
        yield CounterMetricFamily("pensieve_draft_tokens", "Draft tokens that were verified.", counts.proposed)
        yield CounterMetricFamily(
            "pensieve_accepted_draft_tokens", "Draft tokens that the model accepted.", counts.accepted
        )
        yield CounterMetricFamily(
            "pensieve_decode_passes", "Decoding passes, counted once for each request in them.", counts.passes
        )

    def _models(self) -> Iterator[Metric]:
        models = self._state.models
        loaded = GaugeMetricFamily("pensieve_model_loaded", "1 for a loaded model, else 0.", labels=["model"])
        for model in models.states():
            loaded.add_metric([model.id], float(model.status == "loaded"))
        yield loaded
        counts = models.counts
        yield CounterMetricFamily("pensieve_model_loads", "Model loads since the start.", counts.num_loads)
        yield CounterMetricFamily(
            "pensieve_model_failed_loads", "Model loads that failed, also for lack of memory.", counts.num_failed_loads
        )
        yield CounterMetricFamily("pensieve_model_unloads", "Model unloads since the start.", counts.num_unloads)

    def _alerts(self) -> Metric:
        firing = {alert.alert_type for alert in self._state.monitor.performance_alerts()}
        family = GaugeMetricFamily("pensieve_alert_firing", "1 for an alert that is firing, else 0.", labels=["alert"])
        for alert_type in AlertType:
            family.add_metric([alert_type.value], float(alert_type in firing))
        return family
