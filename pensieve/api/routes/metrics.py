"""`GET /metrics`: the figures of `/health` and more, for Prometheus. It requires the key, if the server has one."""

from __future__ import annotations

from quart import Blueprint, Response, request
from quart.typing import ResponseReturnValue

from pensieve.api.server_state import server_state
from pensieve.api.service.prometheus import exposition

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
async def metrics() -> ResponseReturnValue:
    body, content_type = exposition(server_state(), request.headers.get("accept", ""))
    return Response(body, content_type=content_type)
