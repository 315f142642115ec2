"""The figures of `GET /health`, as JSON (S4)."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from contracts.values.measurements import MemoryPressure, PressureStep, RequestProgress
from contracts.values.vocabulary import BufferUsage, ClientIdentity, MemoryUsage
from pensieve.api.server_state import ServerState
from pensieve.core.defaults.model_settings import ModelSettings, ThinkingMode
from pensieve.core.defaults.sampling import API_DEFAULTS, with_defaults
from pensieve.device.checked_kernels import CHECKED_KERNELS
from pensieve.serving.registry import ModelState


def health_figures(state: ServerState, client: ClientIdentity) -> dict[str, Any]:
    """As this client may see them: one with a named key sees no requests of clients of another namespace."""
    models = state.models
    states = models.states()
    return {
        "model": states[0].id if states else None,
        "performance": asdict(state.monitor.performance_stats()),
        "memory": _memory(models.memory.usage()),
        "reserved": {f"{usage.value}_bytes": models.memory.reserved_bytes(usage) for usage in BufferUsage},
        "reserved_peak_bytes": models.memory.peak_reserved_bytes,
        "pressure": _pressure(models.memory_pressure()),
        "prompt_tokens": asdict(models.prompt_tokens()),
        "cache_writes": asdict(state.cache_writes()),
        "speculation": asdict(models.speculation_counts()),
        "kernels": CHECKED_KERNELS.verdicts(),
        "requests": _requests(states, client.namespace),
        "totals": _totals(state),
        "models": [_model(model) for model in states],
        "alerts": _alerts(state),
        "last_log_line": None if client.namespace else state.recent_log.last_number,
    }


def _memory(usage: MemoryUsage) -> dict[str, int]:
    return {**asdict(usage), "available_bytes": usage.available_bytes}


def _pressure(pressure: MemoryPressure) -> dict[str, Any]:
    return {
        "active": [step.value for step in pressure.active],
        "times": {step.value: pressure.times.get(step, 0) for step in PressureStep},
        "chunk_tokens": pressure.chunk_tokens,
    }


def _requests(states: tuple[ModelState, ...], namespace: str) -> dict[str, Any]:
    return {
        "active": sum(model.num_active for model in states),
        "progress": [
            _progress(model.id, each)
            for model in states
            for each in model.requests
            if not namespace or each.client.namespace == namespace
        ],
    }


def _progress(model_id: str, progress: RequestProgress) -> dict[str, Any]:
    first = progress.first_token_seconds
    return {
        "model": model_id,
        "key": progress.client.name if progress.client.namespace else None,
        "stage": progress.stage.value,
        "prompt_tokens": progress.prompt_tokens,
        "cached_tokens": progress.cached_tokens,
        "prefilled_tokens": progress.prefilled_tokens,
        "differs_in": progress.differs_in,
        "output_tokens": progress.output_tokens,
        "max_output_tokens": progress.max_output_tokens,
        "seconds": round(progress.seconds, 3),
        "first_token_seconds": None if first is None else round(first, 3),
    }


def _totals(state: ServerState) -> dict[str, Any]:
    """Since the server started."""
    totals, counts = state.monitor.totals(), state.models.counts
    return {
        "requests": {phase.value.removeprefix("generation_"): number for phase, number in totals.ended.items()},
        "requests_by_key": dict(state.requests_by_key),
        "generated_tokens": totals.tokens_generated,
        "first_tokens": totals.num_first_tokens,
        "first_token_seconds": round(totals.first_token_seconds, 3),
        "model_loads": counts.num_loads,
        "model_failed_loads": counts.num_failed_loads,
        "model_unloads": counts.num_unloads,
    }


def _model(model: ModelState) -> dict[str, Any]:
    return {
        "id": model.id,
        "alias": model.alias,
        "state": model.status,
        "active": model.num_active,
        "idle_seconds": None if model.idle_seconds is None else round(model.idle_seconds, 3),
        "weights_bytes": model.weights_bytes,
        "draft_model": model.draft_id,
        "speculation": model.speculation,
        "defaults": _defaults(model.settings),
    }


def _defaults(settings: ModelSettings) -> dict[str, Any]:
    """The sampling parameters of requests that set none, and the thinking limits of all requests."""
    return {
        "sampling": asdict(with_defaults(settings.sampling, API_DEFAULTS)),
        "thinking": (settings.thinking or ThinkingMode.AUTO).value,
        "max_thinking_tokens": settings.max_thinking_tokens,
    }


def _alerts(state: ServerState) -> list[dict[str, Any]]:
    return [
        {
            "type": alert.alert_type.value,
            "metric": alert.metric,
            "value": alert.current_value,
            "threshold": alert.threshold,
            "severity": alert.severity.value,
        }
        for alert in state.monitor.performance_alerts()
    ]
