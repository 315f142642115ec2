"""The real engine with a model that wants given answers; the models' folders are written for the prompts' lengths."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from contracts.generation import GenerationEvent
from contracts.vocabulary import GenerationRequest
from pensieve.engine.engine import Engine
from pensieve.models.progress import ConsoleProgress
from pensieve.models.sources import resolve
from tests.conftest import start_engine
from tests.dialects.families import Family
from tests.dialects.wanting_model import Answers, write_wanting_model


@asynccontextmanager
async def engine_wanting(folder: Path, family: Family, answers: Answers) -> AsyncIterator[Engine]:
    write_wanting_model(folder, family, answers)
    engine = await start_engine(resolve(str(folder), progress=ConsoleProgress()))
    try:
        yield engine
    finally:
        await engine.aclose()


async def prompt_lengths(folder: Path, family: Family, requests: Sequence[GenerationRequest]) -> list[int]:
    """How many tokens the prompts of these requests are, which the answers need to be written for."""
    async with engine_wanting(folder, family, {}) as engine:
        return [await engine.count_tokens(request.prompt) for request in requests]


async def events_of(engine: Engine, request: GenerationRequest) -> list[GenerationEvent]:
    async with aclosing(engine.generate(request)) as events:
        return [event async for event in events]
