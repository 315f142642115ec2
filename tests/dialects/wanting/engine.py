"""The real engine with a model that wants given answers; the models' folders are written for the prompts' lengths."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from contracts.values.generation import GenerationEvent
from contracts.values.vocabulary import GenerationRequest
from pensieve.device.mlx_lm.bootstrap import import_mlx_lm
from pensieve.engine.engine import Engine
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from pensieve.models.prompts.chat_template import ChatTemplate, RenderedPrompt
from pensieve.models.tokenizers.dialect_of import dialect_of
from pensieve.models.tokenizers.load import load_tokenizer
from tests.conftest import start_engine
from tests.dialects.real.families import Family
from tests.dialects.real.tokenizers import tokenizer_of, write_family
from tests.dialects.wanting.model import Answers, write_wanting_model


@asynccontextmanager
async def engine_wanting(folder: Path, family: Family, answers: Answers) -> AsyncIterator[Engine]:
    write_wanting_model(folder, family, answers, needs_transformers=False)
    engine = await start_engine(resolve(str(folder), progress=ConsoleProgress()))
    try:
        yield engine
    finally:
        await engine.aclose()


def prompts_of(folder: Path, family: Family, *requests: GenerationRequest) -> list[RenderedPrompt]:
    """The prompts of these requests as the engine makes them, for whose lengths answers are written."""
    write_family(folder, family, needs_transformers=False)
    import_mlx_lm()
    tokenizer = load_tokenizer(folder, [tokenizer_of(family).token_to_id(token) for token in family.eos])
    template = ChatTemplate(tokenizer, dialect_of(tokenizer))
    return [template.render(request.messages, request.tools, request.thinking) for request in requests]


async def events_of(engine: Engine, request: GenerationRequest) -> list[GenerationEvent]:
    async with aclosing(engine.generate(request)) as events:
        return [event async for event in events]
