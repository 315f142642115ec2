"""A max_tokens beyond the window is accepted: the answer, and the memory for it, get what the prompt leaves."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.values.vocabulary import BufferUsage, Sampling, StopReason
from pensieve.core.errors import OverloadedError, PromptTooLongError
from pensieve.core.scheduling.validation import MIN_ANSWER_TOKENS
from pensieve.engine.engine import Engine
from pensieve.engine.loop.admission import MIN_SHORTENED_TOKENS
from pensieve.engine.options import EngineOptions
from pensieve.engine.requests.output import Output
from pensieve.engine.requests.progress import AnswerProgress
from pensieve.engine.requests.prompt import PreparedPrompt
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from tests.engine.support.generate import answer, until, user_request
from tests.support.engines import batch_of, holds_kv, memory_of, parts_of, start_engine
from tests.support.tiny_model import write_tiny_model

WINDOW_TOKENS = 512


@asynccontextmanager
async def small_engine(folder: ModelFolder, **options: Any) -> AsyncIterator[Engine]:
    """An engine whose memory holds WINDOW_TOKENS beside the weights, so that its window is that long."""
    engine = await start_engine(folder, EngineOptions(**options))
    memory_of(engine).capacity_bytes = (
        memory_of(engine).reserved_bytes() + WINDOW_TOKENS * parts_of(engine).plan.sizes.bytes_per_token
    )
    assert engine.info.context_window_tokens == WINDOW_TOKENS
    try:
        yield engine
    finally:
        await engine.aclose()


async def prompt_leaving(engine: Engine, num_tokens: int) -> str:
    """A prompt that leaves this many tokens of the window. Each word is one token."""
    overhead = await engine.count_tokens(user_request("word").prompt) - 1
    text = "word" + " word" * (WINDOW_TOKENS - num_tokens - overhead - 1)
    assert await engine.count_tokens(user_request(text).prompt) == WINDOW_TOKENS - num_tokens
    return text


@pytest.mark.parametrize("options", [{}, {"speculation": False}])
def test_an_answer_ends_when_the_window_is_full(tiny_folder: ModelFolder, options: dict[str, Any]) -> None:
    async def play() -> None:
        async with small_engine(tiny_folder, **options) as engine:
            text = await prompt_leaving(engine, 100)
            whole, finished = await answer(engine, user_request(text, 10**30))
            assert (finished.stop_reason, finished.usage.output_tokens) == (StopReason.WINDOW_FULL, 100)
            limited, finished = await answer(engine, user_request(text, 100))
            assert (finished.stop_reason, finished.usage.output_tokens) == (StopReason.MAX_TOKENS, 100)
            assert limited == whole
            stop = whole[len(whole) // 2 :][:5]
            cut, finished = await answer(engine, user_request(text, 10**30, stops=(stop,)))
            assert (finished.stop_reason, cut) == (StopReason.STOP_SEQUENCE, whole[: whole.find(stop)])

    asyncio.run(play())


def test_memory_is_reserved_for_what_the_window_leaves(tiny_folder: ModelFolder) -> None:
    async def play() -> None:
        async with small_engine(tiny_folder) as engine:
            request = user_request("Hello", 128_000, Sampling(temperature=1.0, top_k=1000))
            async with aclosing(engine.generate(request)) as events:
                await anext(events)
                await until(lambda: holds_kv(engine))
                reserved = memory_of(engine).reserved_bytes(BufferUsage.KV_CACHE)
                assert reserved <= WINDOW_TOKENS * parts_of(engine).plan.sizes.bytes_per_token

    asyncio.run(play())


def test_only_a_prompt_that_leaves_no_room_is_refused_and_nothing_is_added_to_the_wording(
    tiny_folder: ModelFolder,
) -> None:
    async def play() -> None:
        async with small_engine(tiny_folder) as engine:
            for room, max_tokens in ((MIN_ANSWER_TOKENS, 128_000), (1, 1)):
                text = await prompt_leaving(engine, room)
                assert (await answer(engine, user_request(text, max_tokens)))[1].usage.output_tokens == room
            for room, maximum in ((MIN_ANSWER_TOKENS - 1, WINDOW_TOKENS - MIN_ANSWER_TOKENS), (-88, WINDOW_TOKENS)):
                text = await prompt_leaving(engine, room)
                wording = rf"^prompt is too long: {WINDOW_TOKENS - room} tokens > {maximum} maximum$"
                with pytest.raises(PromptTooLongError, match=wording):
                    await anext(engine.generate(user_request(text, 128_000)))

    asyncio.run(play())


def test_the_log_explains_a_window_that_memory_limits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = resolve(str(write_tiny_model(tmp_path, max_position_embeddings=10**8)), progress=ConsoleProgress())

    async def play() -> int:
        engine = await start_engine(folder)
        window_tokens = engine.info.context_window_tokens
        await engine.aclose()
        return window_tokens

    caplog.set_level(logging.WARNING)
    window_tokens = asyncio.run(play())
    assert f"has a window of {window_tokens} tokens: of the memory limit of 4.29 GB" in caplog.text
    assert "Raise --memory-limit" in caplog.text


def test_equal_requests_beyond_the_window_share_one_generation(tiny_folder: ModelFolder) -> None:
    async def play() -> None:
        async with small_engine(tiny_folder) as engine:
            request = user_request("Hello", 128_000)
            again = replace(request, is_retry=True)
            async with aclosing(engine.generate(request)) as one, aclosing(engine.generate(again)) as other:
                await anext(one)
                await anext(other)
                assert engine.num_active == 1

    asyncio.run(play())


def test_beside_another_model_an_answer_may_use_the_memory_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The window is what fits when the model is alone. What is left for less than a useful answer is a refusal."""
    folder = resolve(str(write_tiny_model(tmp_path, max_position_embeddings=8192)), progress=ConsoleProgress())

    async def play() -> None:
        engine = await start_engine(folder)
        started: list[AnswerProgress] = []
        new_output = batch_of(engine).new_output

        def note(prompt: PreparedPrompt, progress: AnswerProgress) -> Output:
            started.append(progress)
            return new_output(prompt, progress)

        monkeypatch.setattr(batch_of(engine), "new_output", note)
        per_token = parts_of(engine).plan.sizes.bytes_per_token
        memory_of(engine).capacity_bytes = memory_of(engine).reserved_bytes() + 8192 * per_token
        for free_tokens in (MIN_SHORTENED_TOKENS + 512, MIN_SHORTENED_TOKENS - 512):
            other_model = memory_of(engine).reserve((8192 - free_tokens) * per_token, BufferUsage.MODEL_WEIGHTS)
            assert engine.info.context_window_tokens == 8192
            async with aclosing(engine.generate(user_request("Hello", 128_000))) as events:
                if free_tokens < MIN_SHORTENED_TOKENS:
                    with pytest.raises(OverloadedError):  # before its start, so that the refusal keeps its status
                        await anext(events)
                else:
                    await anext(events)
                    await until(lambda: bool(started))
                    assert MIN_SHORTENED_TOKENS <= started[0].max_answer_tokens < free_tokens
                    assert started[0].is_limited_by_window
            await until(lambda: not holds_kv(engine))
            memory_of(engine).release(other_model)
        await engine.aclose()

    asyncio.run(play())
