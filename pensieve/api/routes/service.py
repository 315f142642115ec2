"""`HEAD /`, `HEAD /api/hello` and `GET /health` (W5, S9)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from quart import Blueprint, jsonify, request
from quart.typing import ResponseReturnValue

from contracts.values.measurements import MemoryPressure, PressureStep
from contracts.values.vocabulary import BufferUsage, MemoryUsage
from pensieve import __version__
from pensieve.api.server_state import ServerState, server_state
from pensieve.core.defaults.model_settings import ModelSettings, ThinkingMode
from pensieve.core.defaults.sampling import API_DEFAULTS, with_defaults
from pensieve.core.errors import AuthenticationError
from pensieve.device.checked_kernels import CHECKED_KERNELS
from pensieve.serving.registry import ModelState

blueprint = Blueprint("service", __name__)


@blueprint.get("/")
async def root() -> ResponseReturnValue:
    """Clients probe this path to see whether a server is running."""
    return jsonify({"service": "pensieve", "version": __version__, "health": "/health"})


@blueprint.get("/api/hello")
async def hello() -> ResponseReturnValue:
    """Claude Code probes this path, sometimes with HEAD, before it uses an API."""
    return jsonify({"message": "hello"})


@blueprint.get("/health")
async def health() -> ResponseReturnValue:
    """The status for every client, a 503 if a model cannot answer; the reason and figures for clients with the key."""
    state = server_state()
    fault = state.models.fault
    status: dict[str, Any] = {
        "status": "unhealthy" if fault else "stopping" if state.draining else "healthy",
        "version": __version__,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    if _may_see_figures(state):
        status |= ({"reason": fault} if fault else {}) | _figures(state)
    return jsonify(status), 503 if fault else 200


def _may_see_figures(state: ServerState) -> bool:
    try:
        state.access.client(request.headers.get("x-api-key"), request.headers.get("authorization"), "")
    except AuthenticationError:
        return False
    return True


def _figures(state: ServerState) -> dict[str, Any]:
    models = state.models
    infos = models.known()
    return {
        "model": infos[0].id if infos else None,
        "performance": asdict(state.monitor.performance_stats()),
        "memory": _memory(models.memory.usage()),
        "reserved": {f"{usage.value}_bytes": models.memory.reserved_bytes(usage) for usage in BufferUsage},
        "reserved_peak_bytes": models.memory.peak_reserved_bytes,
        "pressure": _pressure(models.memory_pressure()),
        "prompt_tokens": asdict(models.prompt_tokens()),
        "cache_writes": asdict(state.cache_writes()),
        "speculation": asdict(models.speculation_counts()),
        "kernels": CHECKED_KERNELS.verdicts(),
        "requests": {"active": models.num_active},
        "models": [_model(model) for model in models.states()],
        "alerts": [
            {
                "type": alert.alert_type.value,
                "metric": alert.metric,
                "value": alert.current_value,
                "threshold": alert.threshold,
                "severity": alert.severity.value,
            }
            for alert in state.monitor.performance_alerts()
        ],
    }


def _memory(usage: MemoryUsage) -> dict[str, int]:
    return {**asdict(usage), "available_bytes": usage.available_bytes}


def _pressure(pressure: MemoryPressure) -> dict[str, Any]:
    return {
        "active": [step.value for step in pressure.active],
        "times": {step.value: pressure.times.get(step, 0) for step in PressureStep},
        "chunk_tokens": pressure.chunk_tokens,
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
        "defaults": _defaults(model.settings),
    }


def _defaults(settings: ModelSettings) -> dict[str, Any]:
    """The sampling parameters of requests that set none, and the thinking limits of all requests."""
    return {
        "sampling": asdict(with_defaults(settings.sampling, API_DEFAULTS)),
        "thinking": (settings.thinking or ThinkingMode.AUTO).value,
        "max_thinking_tokens": settings.max_thinking_tokens,
    }
