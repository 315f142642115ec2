"""`HEAD /` and `GET /health` (W5; the seed's handle_health)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from quart import Blueprint, jsonify, request
from quart.typing import ResponseReturnValue

from contracts.vocabulary import MemoryUsage
from pensieve import __version__
from pensieve.api.server_state import ServerState, server_state
from pensieve.core.errors import AuthenticationError

blueprint = Blueprint("service", __name__)


@blueprint.get("/")
async def root() -> ResponseReturnValue:
    """Clients probe this to see whether anybody is there."""
    return jsonify({"service": "pensieve", "version": __version__, "health": "/health"})


@blueprint.get("/health")
async def health() -> ResponseReturnValue:
    """Whether it lives, for everybody; the figures, for those who have the key."""
    state = server_state()
    status: dict[str, Any] = {
        "status": "stopping" if state.draining else "healthy",
        "version": __version__,
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
    }
    if _may_see_figures(state):
        status |= await _figures(state)
    return jsonify(status)


def _may_see_figures(state: ServerState) -> bool:
    try:
        state.access.check_key(request.headers.get("x-api-key"), request.headers.get("authorization"))
    except AuthenticationError:
        return False
    return True


async def _figures(state: ServerState) -> dict[str, Any]:
    models = state.models.loaded()
    served = state.models.get(models[0].id) if models else None
    usage = await served.memory_usage() if served else None
    return {
        "model": models[0].id if models else None,
        "performance": asdict(state.monitor.performance_stats()),
        "memory": _memory(usage) if usage else None,
        "prompt_tokens": asdict(served.prompt_tokens()) if served else None,
        "requests": {"active": state.models.num_active},
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
