"""Sends requests to an engine directly, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from contracts.values.generation import GenerationFinished, TextGenerated
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Sampling
from pensieve.engine.engine import Engine

GREEDY = Sampling(temperature=0.0)


def user_request(
    text: str, max_tokens: int = 12, sampling: Sampling = GREEDY, stops: tuple[str, ...] = ()
) -> GenerationRequest:
    return GenerationRequest((ChatMessage(Role.USER, text),), max_tokens, sampling, stops)


async def answer(engine: Engine, request: GenerationRequest) -> tuple[str, GenerationFinished]:
    text = ""
    async with aclosing(engine.generate(request)) as events:
        async for event in events:
            if isinstance(event, TextGenerated):
                text += event.text
            elif isinstance(event, GenerationFinished):
                return text, event
    raise AssertionError("the stream ended without its last event")


async def until(holds: Callable[[], bool], seconds: float = 300.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what it waits for happens on another thread
            await asyncio.sleep(0.005)
