"""`POST /v1/messages` and `POST /v1/messages/count_tokens` (W1, W2)."""

from __future__ import annotations

from contextlib import aclosing

from quart import Blueprint, Response, g, jsonify
from quart.typing import ResponseReturnValue

from pensieve.api.decode_request import DecodedRequest, decode_count, decode_messages
from pensieve.api.message_events import collect_message
from pensieve.api.read_body import decoded_body
from pensieve.api.server_state import server_state
from pensieve.api.sse import encoded_events, stream_response

blueprint = Blueprint("messages", __name__)


@blueprint.post("/v1/messages")
async def create_message() -> ResponseReturnValue:
    decoded = await decoded_body(decode_messages)
    return await (_stream(decoded) if decoded.stream else _answer(decoded))


@blueprint.post("/v1/messages/count_tokens")
async def count_tokens() -> ResponseReturnValue:
    prompt, model_name = await decoded_body(decode_count)
    model = server_state().model_for(model_name)
    return jsonify({"input_tokens": await model.count_tokens(prompt)})


async def _stream(decoded: DecodedRequest) -> Response:
    handler = server_state().handler_for(decoded.model_name)
    events = handler.handle_request(decoded.generation, decoded.model_name)
    return await stream_response(encoded_events(events, g.request_id))


async def _answer(decoded: DecodedRequest) -> ResponseReturnValue:
    handler = server_state().handler_for(decoded.model_name)
    async with aclosing(handler.handle_request(decoded.generation, decoded.model_name)) as events:
        message = await collect_message(events)
    if message["type"] == "error":
        return jsonify({**message, "request_id": g.request_id}), 500
    return jsonify(message)
