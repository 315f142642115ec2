"""`HEAD /api/hello` and `GET /health` (W5, S9)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from quart import Blueprint, jsonify, request
from quart.typing import ResponseReturnValue

from contracts.values.vocabulary import ClientIdentity
from pensieve import __version__
from pensieve.api.server_state import ServerState, server_state
from pensieve.api.service.figures import health_figures
from pensieve.core.errors import AuthenticationError

blueprint = Blueprint("service", __name__)


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
    client = _client(state)
    if client is not None:
        status |= ({"reason": fault} if fault else {}) | health_figures(state, client)
    return jsonify(status), 503 if fault else 200


def _client(state: ServerState) -> ClientIdentity | None:
    """None without a key, where the server has one."""
    try:
        return state.access.client(request.headers.get("x-api-key"), request.headers.get("authorization"), "")
    except AuthenticationError:
        return None
