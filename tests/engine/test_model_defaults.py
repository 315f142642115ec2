"""Sampling defaults: the request's values, then the operator's, then those that the model's makers recommend."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.values.vocabulary import Sampling, Thinking
from pensieve.core.defaults.model_settings import ModelSettings, ThinkingMode
from pensieve.engine.engine import Engine
from pensieve.engine.options import EngineOptions
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import SilentProgress
from pensieve.models.library.resolve import resolve
from tests.engine.speculation.test_speculation import Eager
from tests.engine.support.generate import GREEDY, answer, user_request
from tests.support.engines import start_engine, with_pace
from tests.support.tiny_model import CHATML, write_byte_tokenizer

ALL_OPEN = Sampling()


@asynccontextmanager
async def engine_of(folder: ModelFolder, settings: ModelSettings = ModelSettings()) -> AsyncIterator[Engine]:  # noqa: B008
    engine = await start_engine(folder, EngineOptions(settings=settings))
    try:
        yield engine
    finally:
        await engine.aclose()


@pytest.fixture
def recommending(tiny_folder: ModelFolder, tmp_path: Path) -> ModelFolder:
    """The tiny model, whose makers recommend top_k 1."""
    folder = tmp_path / "recommending"
    shutil.copytree(tiny_folder.path, folder)
    recommend(folder, temperature=1.0, top_k=1)
    return resolve(str(folder), progress=SilentProgress())


def recommend(folder: Path, **fields: object) -> None:
    (folder / "generation_config.json").write_text(json.dumps(fields), encoding="utf-8")


async def texts(engine: Engine, sampling: Sampling, num: int = 3) -> list[str]:
    return [(await answer(engine, user_request("Hello", 16, sampling)))[0] for _ in range(num)]


def test_a_request_without_sampling_uses_the_makers_recommendation(
    recommending: ModelFolder, tiny_folder: ModelFolder
) -> None:
    async def play() -> None:
        async with engine_of(recommending) as engine:
            greedy = await texts(engine, GREEDY, 1)
            assert await texts(engine, ALL_OPEN) == greedy * 3
            assert await texts(engine, Sampling(temperature=1.5)) == greedy * 3, "the makers' top_k is kept"
            assert len(set(await texts(engine, Sampling(top_k=0)))) > 1, "the request turns top_k off"
        async with engine_of(tiny_folder) as engine:
            assert len(set(await texts(engine, ALL_OPEN))) > 1, (
                "without a recommendation, the API's default temperature applies"
            )

    asyncio.run(play())


def test_the_operators_settings_override_the_makers_and_the_requests_override_both(recommending: ModelFolder) -> None:
    async def play() -> None:
        async with engine_of(recommending, ModelSettings(Sampling(top_k=0))) as engine:
            assert len(set(await texts(engine, ALL_OPEN))) > 1
        async with engine_of(recommending, ModelSettings(Sampling(temperature=0.0, top_k=0))) as engine:
            assert len(set(await texts(engine, ALL_OPEN))) == 1
            assert len(set(await texts(engine, Sampling(temperature=1.0)))) > 1

    asyncio.run(play())


def test_a_model_with_do_sample_false_is_greedy(recommending: ModelFolder) -> None:
    recommend(recommending.path, do_sample=False)

    async def play() -> None:
        async with engine_of(recommending) as engine:
            assert await texts(engine, ALL_OPEN, 2) == await texts(engine, GREEDY, 2)

    asyncio.run(play())


def test_identical_requests_share_one_answer_only_if_the_defaults_are_greedy(recommending: ModelFolder) -> None:
    async def num_tickets(engine: Engine) -> int:
        request = user_request("Hello", 200, ALL_OPEN)
        streams = [engine.generate(request) for _ in range(2)]
        for stream in streams:
            await anext(stream)
        num_active = engine.num_active
        for stream in streams:
            await stream.aclose()
        return num_active

    async def play() -> None:
        async with engine_of(recommending) as engine:
            assert await num_tickets(engine) == 2
        async with engine_of(recommending, ModelSettings(Sampling(temperature=0.0))) as engine:
            assert await num_tickets(engine) == 1

    asyncio.run(play())


def test_a_bad_value_is_ignored_with_one_warning_that_names_file_and_key(
    recommending: ModelFolder, caplog: pytest.LogCaptureFixture
) -> None:
    recommend(recommending.path, top_k=1, temperature="hot", top_p=7)

    async def play() -> None:
        async with engine_of(recommending) as engine:
            assert len(set(await texts(engine, ALL_OPEN))) == 1

    with caplog.at_level(logging.WARNING):
        asyncio.run(play())
    (warning,) = [record.getMessage() for record in caplog.records if "generation_config.json" in record.getMessage()]
    assert "temperature" in warning
    assert "top_p" in warning


def test_a_repetition_penalty_is_applied_and_turns_speculation_off(recommending: ModelFolder) -> None:
    """A penalty below 1 makes the answer repeat itself, so that speculation would have something to propose."""
    request = user_request("again and " * 40, 60, Sampling(temperature=0.0, repetition_penalty=0.7))

    async def play(*, speculates: bool) -> tuple[str, str, int]:
        engine = await start_engine(recommending, EngineOptions(speculation=speculates), change=with_pace(Eager()))
        penalised, _ = await answer(engine, request)
        proposed = engine.speculation_counts().proposed
        plain, _ = await answer(engine, user_request("again and " * 40, 60))
        await engine.aclose()
        return penalised, plain, proposed

    penalised, plain, _ = asyncio.run(play(speculates=False))
    speculating, _, proposed = asyncio.run(play(speculates=True))
    assert penalised != plain
    assert speculating == penalised
    assert proposed == 0


def test_a_frequency_penalty_affects_its_own_row_of_a_batch_only(recommending: ModelFolder) -> None:
    plain = user_request("again and " * 40, 40, Sampling(temperature=0.0))
    penalised = user_request("again and " * 40, 40, Sampling(temperature=0.0, frequency_penalty=2.0))

    async def play() -> None:
        async with engine_of(recommending) as engine:
            alone = [(await answer(engine, request))[0] for request in (plain, penalised)]
            together = await asyncio.gather(answer(engine, plain), answer(engine, penalised))
        assert [text for text, _ in together] == alone
        assert len(set(alone[1])) > len(set(alone[0])), "the answer repeats itself less"

    asyncio.run(play())


def test_thinking_off_applies_to_prompts_and_token_counts(recommending: ModelFolder) -> None:
    template = f"{{% if enable_thinking %}}{'Think first. ' * 20}{{% endif %}}{CHATML}"
    write_byte_tokenizer(recommending.path, chat_template=template)
    request = replace(user_request("Hello", 2), thinking=Thinking(enabled=True))

    async def lengths(settings: ModelSettings) -> tuple[int, int]:
        async with engine_of(recommending, settings) as engine:
            counted = await engine.count_tokens(request.prompt)
            return counted, (await answer(engine, request))[1].usage.input_tokens

    async def play() -> None:
        thinking, plain = await lengths(ModelSettings()), await lengths(ModelSettings(thinking=ThinkingMode.OFF))
        assert thinking[0] == thinking[1] > plain[0] == plain[1]

    asyncio.run(play())
