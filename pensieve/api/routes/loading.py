"""`POST /models/load` and `POST /models/unload`, with the paths and the body of llama-server."""

from __future__ import annotations

from functools import partial

from quart import Blueprint, jsonify
from quart.typing import ResponseReturnValue

from pensieve.api.http.parse_body import parse_body
from pensieve.api.http.read_body import decode_body
from pensieve.api.http.wire_model import Name, WireModel
from pensieve.api.server_state import server_state

blueprint = Blueprint("loading", __name__)


class _NamedModel(WireModel):
    model: Name


@blueprint.post("/models/load")
async def load() -> ResponseReturnValue:
    """Answers when the model is loaded. Disconnecting does not cancel a load that has begun."""
    named = await _named_model()
    async with server_state().open_model(named.model) as model:
        return jsonify({"model": model.info.id, "state": "loaded"})


@blueprint.post("/models/unload")
async def unload() -> ResponseReturnValue:
    """Answers when the model's memory is free. A model in use is refused: a running answer is never cut off."""
    named, state = await _named_model(), server_state()
    model_id = state.info_of(named.model).id
    await state.models.unload_model(model_id)
    return jsonify({"model": model_id, "state": "unloaded"})


async def _named_model() -> _NamedModel:
    return await decode_body(partial(parse_body, _NamedModel))
