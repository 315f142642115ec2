"""The real engine with a rigged model, and the prompts whose lengths decide where its answers are written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from contracts.values.generation import GenerationEvent
from contracts.values.vocabulary import GenerationRequest
from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.engine.engine import Engine
from pensieve.engine.options import EngineOptions
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from pensieve.models.prompts.chat_template import RenderedPrompt
from tests.dialects.real.families import Family
from tests.dialects.real.rendering import chat_template
from tests.dialects.rigged.model import Answers, write_rigged_model
from tests.support.engines import start_engine


@asynccontextmanager
async def rigged_engine(
    folder: Path,
    family: Family,
    answers: Answers,
    settings: ModelSettings = ModelSettings(),  # noqa: B008 - frozen
) -> AsyncIterator[Engine]:
    write_rigged_model(folder, family, answers, needs_transformers=False)
    engine = await start_engine(resolve(str(folder), progress=ConsoleProgress()), EngineOptions(settings=settings))
    try:
        yield engine
    finally:
        await engine.aclose()


def prompts_of(family: Family, *requests: GenerationRequest) -> list[RenderedPrompt]:
    """The prompts of these requests, as the engine renders them."""
    template = chat_template(family)
    return [template.render(request.messages, request.tools, request.thinking) for request in requests]


async def events_of(engine: Engine, request: GenerationRequest) -> list[GenerationEvent]:
    async with aclosing(engine.generate(request)) as events:
        return [event async for event in events]
