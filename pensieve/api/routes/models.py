"""`GET /v1/models` and `GET /v1/models/{id}` (W3, W6), in the formats of Anthropic and OpenAI at once."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from quart import Blueprint, jsonify, request
from quart.typing import ResponseReturnValue

from contracts.values.vocabulary import ModelInfo
from pensieve.api.server_state import server_state
from pensieve.core.errors import ValidationError

blueprint = Blueprint("models", __name__)

DEFAULT_LIMIT, MAX_LIMIT = 20, 1000
_LIMIT = re.compile("[0-9]{1,9}")
"""Python refuses to convert thousands of digits."""


@blueprint.get("/v1/models")
async def list_models() -> ResponseReturnValue:
    page, has_more = _page(list(server_state().models.known()))
    ids = [info.id for info in page]
    return jsonify(
        {
            "data": [_as_json(info) for info in page],
            "object": "list",
            "has_more": has_more,
            "first_id": ids[0] if ids else None,
            "last_id": ids[-1] if ids else None,
        }
    )


@blueprint.get("/v1/models/<path:model_id>")
async def retrieve_model(model_id: str) -> ResponseReturnValue:
    return jsonify(_as_json(server_state().info_of(model_id)))


def _page(models: list[ModelInfo]) -> tuple[list[ModelInfo], bool]:
    """The page that the query selects, and whether there are more. The page is empty for an unknown id."""
    limit = _limit()
    after_id, before_id = request.args.get("after_id"), request.args.get("before_id")
    if after_id is not None and before_id is not None:
        raise ValidationError("before_id", "cannot be combined with after_id")
    ids = [info.id for info in models]
    cursor = after_id if after_id is not None else before_id
    if cursor is None:
        return models[:limit], len(models) > limit
    if cursor not in ids:
        return [], False
    position = ids.index(cursor)
    if after_id is not None:
        return models[position + 1 : position + 1 + limit], len(models) > position + 1 + limit
    return models[max(0, position - limit) : position], position > limit


def _limit() -> int:
    text = request.args.get("limit", str(DEFAULT_LIMIT))
    if not _LIMIT.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise ValidationError("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _as_json(info: ModelInfo) -> dict[str, Any]:
    """The fields of both APIs. Each SDK ignores those of the other."""
    return {
        "type": "model",
        "object": "model",
        "created": int(datetime.fromisoformat(info.created_at).timestamp()),
        "owned_by": "pensieve",
        "id": info.id,
        "display_name": info.display_name,
        "created_at": info.created_at,
        "lifecycle": "active",
        "max_input_tokens": info.context_window_tokens,
        "max_tokens": info.context_window_tokens,
    }
