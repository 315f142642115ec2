"""`POST /v1/messages` and `POST /v1/messages/count_tokens` (W1, W2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from quart import Blueprint, Response, g, jsonify
from quart.typing import ResponseReturnValue

from contracts.values.generation import GenerationStarted
from contracts.values.vocabulary import MessageEvent
from pensieve.api.anthropic.cache_header import PromptCacheHeader
from pensieve.api.anthropic.context_editing import edited
from pensieve.api.anthropic.decode import DecodedRequest, decode_count, decode_messages
from pensieve.api.anthropic.events import collect_message, new_message_id
from pensieve.api.anthropic.handler import MessageOptions
from pensieve.api.http.read_body import decode_body, is_retry
from pensieve.api.http.sse import encode_events, stream_response
from pensieve.api.server_state import server_state
from pensieve.core.errors import PensieveError

blueprint = Blueprint("messages", __name__)


@blueprint.post("/v1/messages")
async def create_message() -> ResponseReturnValue:
    decoded = await decode_body(decode_messages)
    cache = PromptCacheHeader()
    response = await (_stream(decoded, cache) if decoded.stream else _answer(decoded, cache))
    response.headers.update(cache.headers)
    return response


@blueprint.post("/v1/messages/count_tokens")
async def count_tokens() -> ResponseReturnValue:
    decoded = await decode_body(decode_count)
    prompt = replace(decoded.prompt, client=g.client)
    async with server_state().open_model(decoded.model_name) as model:
        if decoded.edits is None:
            return jsonify({"input_tokens": await model.count_tokens(prompt)})
        context = await edited(prompt, decoded.edits, model.count_tokens)
        original = await model.count_tokens(prompt)
        tokens = await model.count_tokens(context.prompt) if context.applied else original
        return jsonify({"input_tokens": tokens, "context_management": {"original_input_tokens": original}})


async def _stream(decoded: DecodedRequest, cache: PromptCacheHeader) -> Response:
    return await stream_response(encode_events(_events(decoded, _options(decoded, cache)), g.request_id))


async def _answer(decoded: DecodedRequest, cache: PromptCacheHeader) -> Response:
    """
    Raises:
        PensieveError: also one that ended the answer after its start, so that it gets its own status and headers.
    """
    errors: list[PensieveError] = []
    options = replace(_options(decoded, cache), on_error=errors.append)
    async with aclosing(_events(decoded, options)) as events:
        message = await collect_message(events)
    for error in errors:
        raise error
    return jsonify(message)


def _events(decoded: DecodedRequest, options: MessageOptions) -> AsyncGenerator[MessageEvent, None]:
    generation = replace(decoded.generation, is_retry=is_retry(), client=g.client)
    return server_state().message_events(generation, decoded.model_name, options)


def _options(decoded: DecodedRequest, cache: PromptCacheHeader) -> MessageOptions:
    fingerprint = decoded.fingerprint
    if decoded.diagnostics is None or fingerprint is None:
        return MessageOptions(cache.record, edits=decoded.edits)
    fingerprints, message_id = server_state().fingerprints, new_message_id()
    namespace = g.client.namespace
    diagnosis = fingerprints.diagnosis(fingerprint, decoded.diagnostics.previous_message_id, namespace)

    def record(started: GenerationStarted) -> None:
        cache.record(started)
        fingerprints.record(message_id, fingerprint, started, namespace)

    return MessageOptions(
        record, message_id=message_id, edits=decoded.edits, has_diagnostics=True, diagnostics=diagnosis
    )
