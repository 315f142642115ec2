"""Prompts beyond the window cost no more than a window, and no client waits for another's long prompt."""

import asyncio
import re
import threading
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.values.generation import TextGenerated
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Prompt, Role, Tool
from pensieve.core.errors import PromptTooLongError
from pensieve.engine.engine import Engine
from pensieve.engine.lanes import LONG_CHARACTERS, PreparationLanes
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from pensieve.models.tokenizers import unlocked
from tests.engine.support.generate import answer, until, user_request
from tests.support.engines import start_engine
from tests.support.tiny_model import write_tiny_model
from tests.support.watched_tokenizer import ENOUGH, WatchedTokenizer, growing_texts

NUM_WORDS = 400_000
WORDS = "word " * NUM_WORDS
TOOL_TURNS = (
    ChatMessage(Role.USER, "Look."),
    ChatMessage(Role.ASSISTANT, "I look."),
    ChatMessage(Role.USER, WORDS),
)
SHAPES = {
    "a message": user_request(WORDS),
    "an earlier turn": replace(user_request("Go on."), messages=(*TOOL_TURNS, ChatMessage(Role.USER, "Go on."))),
    "a system message": replace(
        user_request("Go on."), messages=(ChatMessage(Role.SYSTEM, WORDS), ChatMessage(Role.USER, "Go on."))
    ),
    "a tool": replace(user_request("Go on."), tools=(Tool("look", WORDS, "{}"),)),
    "a raw prompt": replace(user_request(WORDS), is_raw=True),
}


def on_engine(folder: ModelFolder, play: Callable[[Engine], object]) -> None:
    async def run() -> None:
        engine = await start_engine(folder)
        try:
            await play(engine)  # type: ignore[misc]
        finally:
            await engine.aclose()

    asyncio.run(run())


def test_a_prompt_beyond_the_window_is_refused_from_a_part_of_it(
    tiny_folder: ModelFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    num_read = 0

    def count(backend: object, text: str) -> int:
        nonlocal num_read
        num_read += len(text)
        return original(backend, text)

    original = unlocked.count
    monkeypatch.setattr(unlocked, "count", count)

    async def play(engine: Engine) -> None:
        nonlocal num_read
        for name, request in SHAPES.items():
            num_read = 0
            with pytest.raises(PromptTooLongError) as caught:
                await answer(engine, request)
            match = re.fullmatch(r"prompt is too long: (\d+) tokens > (\d+) maximum", str(caught.value))
            assert match is not None, name
            assert int(match[2]) == engine.info.context_window_tokens
            assert abs(int(match[1]) - NUM_WORDS) < NUM_WORDS // 50, name
            assert await engine.count_tokens(request.prompt) == int(match[1]), name
            assert num_read < len(WORDS) // 20, name

    on_engine(tiny_folder, play)


def test_a_stream_goes_on_while_a_long_prompt_is_tokenised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = resolve(str(write_tiny_model(tmp_path, max_position_embeddings=4_000_000)), progress=ConsoleProgress())
    num_arrived = num_meanwhile = 0

    def watch(backend: object, text: str) -> object:
        nonlocal num_meanwhile
        watched = WatchedTokenizer(backend, lambda: num_arrived)
        result = original(watched, text)
        num_meanwhile = max(num_meanwhile, watched.num_meanwhile)
        return result

    original = unlocked.encode_with_ends
    monkeypatch.setattr(unlocked, "encode_with_ends", watch)

    async def play(engine: Engine) -> None:
        nonlocal num_meanwhile

        async def stream() -> None:
            nonlocal num_arrived
            async with aclosing(engine.generate(user_request("Hello", 1_000_000))) as events:
                async for event in events:
                    num_arrived += isinstance(event, TextGenerated)

        streaming = asyncio.create_task(stream())
        await until(lambda: num_arrived > 0)
        num_meanwhile = 0
        for text in growing_texts():
            assert await engine.count_tokens(user_request(text).prompt) > LONG_CHARACTERS // 2
            if num_meanwhile > ENOUGH:
                break
        assert not streaming.done()
        streaming.cancel()
        await asyncio.gather(streaming, return_exceptions=True)
        assert num_meanwhile > ENOUGH

    on_engine(folder, play)


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    async def play() -> None:
        lanes, release = PreparationLanes(), threading.Event()
        try:
            waiting = asyncio.create_task(lanes.run(release.wait, prompt_of(LONG_CHARACTERS + 1)))
            await asyncio.sleep(0)
            assert await asyncio.wait_for(lanes.run(lambda: "short", prompt_of(10)), 10) == "short"
            assert not waiting.done()
        finally:
            release.set()
            lanes.close()
        assert await waiting

    asyncio.run(play())


def test_no_error_of_a_preparation_leaves_its_client_waiting() -> None:
    def stop() -> None:
        raise StopIteration

    async def play() -> None:
        lanes = PreparationLanes()
        try:
            with pytest.raises(RuntimeError, match="StopIteration"):
                await asyncio.wait_for(lanes.run(stop), 10)
        finally:
            lanes.close()

    asyncio.run(play())


def prompt_of(num_characters: int) -> Prompt:
    return GenerationRequest((ChatMessage(Role.USER, "x" * num_characters),), 1).prompt
