"""`POST /v1/chat/completions` and `POST /v1/completions`: OpenAI's API over the same models (W6, S9)."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from quart import Blueprint, g, jsonify
from quart.typing import ResponseReturnValue

from contracts.values.generation import GenerationEvent, GenerationStarted
from pensieve.api.anthropic.cache_header import PromptCacheHeader
from pensieve.api.http.error_reply import reply_to_error
from pensieve.api.http.pings import with_pings
from pensieve.api.http.read_body import decode_body, is_retry
from pensieve.api.http.sse import DONE, KEEP_ALIVE, encode_data, stream_response
from pensieve.api.openai.decode import OpenAIRequest, decode_chat, decode_completion
from pensieve.api.openai.errors import openai_body
from pensieve.api.openai.events import ChatChunks, CompletionChunks, collect_chat, collect_completion
from pensieve.api.server_state import server_state
from pensieve.core.errors import PensieveError

log = logging.getLogger(__name__)

blueprint = Blueprint("openai", __name__)

Chunks = ChatChunks | CompletionChunks
Collect = Callable[[AsyncIterator[GenerationEvent], str], Awaitable[dict[str, Any]]]


@blueprint.post("/v1/chat/completions")
async def chat_completions() -> ResponseReturnValue:
    return await _reply(await decode_body(decode_chat), ChatChunks, collect_chat)


@blueprint.post("/v1/completions")
async def completions() -> ResponseReturnValue:
    return await _reply(await decode_body(decode_completion), CompletionChunks, collect_completion)


async def _reply(request: OpenAIRequest, chunks: type[Chunks], collect: Collect) -> ResponseReturnValue:
    cache = PromptCacheHeader()
    request = replace(request, generation=replace(request.generation, is_retry=is_retry(), client=g.client))
    if request.stream:
        encoder = chunks(request.model_name, include_usage=request.include_usage)
        response = await stream_response(_encoded(request, encoder, cache))
    else:
        async with (
            server_state().open_model(request.model_name) as model,
            aclosing(_recorded(model.generate(request.generation), cache)) as events,
        ):
            response = jsonify(await collect(events, request.model_name))
    response.headers.update(cache.headers)
    return response


async def _recorded(
    events: AsyncGenerator[GenerationEvent, None], cache: PromptCacheHeader
) -> AsyncGenerator[GenerationEvent, None]:
    async with aclosing(events):
        async for event in events:
            if isinstance(event, GenerationStarted):
                cache.record(event)
            yield event


async def _encoded(request: OpenAIRequest, chunks: Chunks, cache: PromptCacheHeader) -> AsyncGenerator[bytes, None]:
    """The bytes of a stream. OpenAI's API has no ping event, so comments fill silences. An error ends the stream."""
    started = False
    interval = server_state().ping_interval_seconds
    try:
        async with (
            server_state().open_model(request.model_name) as model,
            aclosing(_recorded(model.generate(request.generation), cache)) as events,
            aclosing(with_pings(events, interval)) as paced,
        ):
            async for event in paced:
                for piece in [KEEP_ALIVE] if event is None else [encode_data(chunk) for chunk in chunks.convert(event)]:
                    started = True
                    yield piece
    except PensieveError as error:
        if not started:
            raise
        log.warning("a stream ended with an error: %s", error)
        yield encode_data(openai_body(reply_to_error(error)))
        return
    yield DONE
